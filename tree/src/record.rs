//! Directory records: what a tree is made of, its written encoding and its two digests.
//!
//! A record lists the entries of one directory, sorted by name as bytes. Subdirectories are named by digest, so
//! unchanged directories are shared between trees. The same record serves two kinds of tree: a *layer*, which may hold
//! whiteouts and opaque directories, and a *merged* tree, which never does.

use std::collections::BTreeMap;
use std::sync::Arc;

use farm_model::{BlobDigest, ContentDigest, DirectoryDigest};

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mtime(pub i64);

impl Mtime {
    /// Older than everything.
    pub const OLDEST: Self = Self(i64::MIN);
}

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
    /// Bytes of the regular files below it; of a hard-link group only the names count that end as its first path does,
    /// since a record does not know where it lies.
    pub bytes: u64,
    /// Files below it that have several names. Where there are none, the record means the same at any path.
    pub linked: u64,
    /// Whiteouts and opaque directories below it. A merged tree has none.
    pub marks: u64,
    /// The newest mtime below it; [`Mtime::OLDEST`] when there is nothing.
    pub newest: Mtime,
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

impl Metadata {
    /// Owned by root, with `mode` and `mtime`.
    pub fn plain(mode: u16, mtime: Mtime) -> Self {
        Self { mode, mtime, ..Self::default() }
    }
}

impl Node {
    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Directory(directory) => &directory.metadata,
            Self::File(file) => &file.metadata,
            Self::Symlink(symlink) => &symlink.metadata,
            Self::Device(device) => &device.metadata,
        }
    }

    /// Its metadata, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        match self {
            Self::Directory(directory) => &mut directory.metadata,
            Self::File(file) => &mut file.metadata,
            Self::Symlink(symlink) => &mut symlink.metadata,
            Self::Device(device) => &mut device.metadata,
        }
    }

    /// The directory, when it is one.
    pub fn as_directory(&self) -> Option<&Directory> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::File(_) | Self::Symlink(_) | Self::Device(_) => None,
        }
    }

    /// The regular file, when it is one.
    pub fn as_file(&self) -> Option<&File> {
        match self {
            Self::File(file) => Some(file),
            Self::Directory(_) | Self::Symlink(_) | Self::Device(_) => None,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::File(_) => "file",
            Self::Symlink(_) => "symbolic link",
            Self::Device(_) => "special file",
        }
    }
}

impl Directory {
    /// A directory with nothing in it.
    pub fn empty(metadata: Metadata) -> Self {
        Self { metadata, opaque: false, record: DirectoryRef::empty() }
    }
}

impl Tree {
    /// The tree of `FROM scratch`: a root directory with mode 0755, owned by root, from the epoch, and nothing in it.
    pub fn empty() -> Self {
        Self { root: Directory::empty(Metadata::plain(0o755, Mtime(0))) }
    }

    /// Whether there is nothing below its root.
    pub fn is_empty(&self) -> bool {
        self.root.record == DirectoryRef::empty()
    }
}

/// Whether a tree keeps the extended attribute `name`. Host labels would make keys differ between machines.
pub fn xattr_is_kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && name != b"user." && !name.starts_with(b"user.overlay."))
}
