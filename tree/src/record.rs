//! Directory records: what a tree is made of, its written encoding and its two digests.
//!
//! A record lists the entries of one directory, sorted by name as bytes. Subdirectories are named by digest, so
//! unchanged directories are shared between trees. The same record serves two kinds of tree: a *layer*, which may hold
//! whiteouts and opaque directories, and a *merged* tree, which never does.

use std::collections::BTreeMap;
use std::sync::Arc;

use farm_model::{BlobDigest, ContentDigest, DirectoryDigest, LayerDigest};

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mtime(pub i64);

/// What every entry but a whiteout has.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most. Symbolic links have `0o777`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time; not part of the content digest.
    pub mtime: Mtime,
    /// Extended attributes that are allowed in a tree: `security.capability` and `user.*` but `user.overlay.*`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One name in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// Something that exists.
    Node(Node),
    /// The name is deleted from the layers below. Layers only.
    Whiteout,
}

/// Something that exists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Node {
    /// A directory.
    Directory(Directory),
    /// A regular file.
    File(File),
    /// A symbolic link.
    Symlink(Symlink),
    /// A device node, FIFO or socket.
    Device(Device),
}

/// A directory: its own metadata and its record by digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directory {
    /// Its own metadata.
    pub metadata: Metadata,
    /// Hides what the layers below have in this directory. Layers only.
    pub opaque: bool,
    /// Its entries.
    pub record: DirectoryRef,
}

/// A record named by both digests, with sums over everything below it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DirectoryRef {
    /// Mtimes included; the key under which the record is kept.
    pub digest: DirectoryDigest,
    /// Without mtimes.
    pub content: ContentDigest,
    /// Names below it, at any depth; whiteouts do not count.
    pub entries: u64,
    /// Bytes of the regular files below it; a hard-link group counts once, at its first path.
    pub bytes: u64,
}

/// A regular file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// Its own metadata.
    pub metadata: Metadata,
    /// Its bytes.
    pub blob: BlobDigest,
    /// For a file with several names: the first of them in byte order, as a path from the root of the tree without a
    /// leading slash. Every member of the group carries it, the first one included. In a merged tree two files are the
    /// same inode only if everything in `File` is equal.
    pub hard_link: Option<Arc<[u8]>>,
}

/// A symbolic link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Symlink {
    /// Its own metadata.
    pub metadata: Metadata,
    /// What it points to, as written.
    pub target: Vec<u8>,
}

/// A device node or FIFO.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// Its own metadata.
    pub metadata: Metadata,
    /// What kind of node it is.
    pub kind: DeviceKind,
}

/// Kinds of special file. Sockets are not kept: no tar can carry them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeviceKind {
    /// Character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// FIFO.
    Fifo,
}

/// A whole tree: its root directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tree {
    /// Metadata and record of `/`.
    pub root: Directory,
}

impl Tree {
    /// Identity of the tree as a layer, mtimes included.
    pub fn layer_digest(&self) -> LayerDigest {
        unreachable!("written by the tree helper: digest of the root directory entry, context string pinned")
    }
}
