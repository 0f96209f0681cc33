//! Compares a layer directory with its tree, name by name, and sums up what would betray a later change.
//!
//! The summary is a digest over path, inode and change time of everything below the root. No process can set a change
//! time, so an equal summary means that nothing was touched since. The root's own change time is left out: the rename
//! to the final name sets it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use farm_tree::{Device, DeviceKind, Directory, Entries, Entry, File, Metadata, Mtime, Node, Tree};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::directories::Summary;
use crate::error::Context;
use crate::{Error, Store, handles};

const OPAQUE: &str = "trusted.overlay.opaque";
const NANOS: i64 = 1_000_000_000;

/// What to do about mtimes and opaque marks that differ; any other difference is an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Treatment {
    /// Set them as the tree says.
    Adjust,
    /// Leave them; the summary tells whether they changed since.
    Leave,
}

impl Store {
    /// Walks `tree` beside the directory at `path`; [`Error::NotItsTree`] at the first difference.
    pub(crate) fn conform(&self, tree: &Tree, path: &Path, treatment: Treatment) -> Result<Summary, Error> {
        let root = handles::open_root(path).while_doing("open layer", path)?;
        let mut walk = Walk { root, top: path, treatment, hasher: blake3::Hasher::new() };
        self.each_directory(tree, &mut |path, directory, entries| walk.directory(path, directory, entries))?;
        Ok(*walk.hasher.finalize().as_bytes())
    }
}

struct Walk<'a> {
    root: OwnedFd,
    top: &'a Path,
    treatment: Treatment,
    hasher: blake3::Hasher,
}

impl Walk<'_> {
    fn directory(&mut self, path: &[u8], directory: &Directory, entries: &Entries) -> Result<(), Error> {
        let handle = match handles::open_directory(&self.root, path) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                return Err(differs(path, "it is no directory"));
            }
            Err(error) => return Err(self.io("open", path, error)),
        };
        if self.treatment == Treatment::Adjust {
            adjust_opaque(&handle, directory.opaque)
                .map_err(|error| self.io("mark as opaque", path, error))?;
            rustix::fs::futimens(&handle, &times(directory.metadata.mtime))
                .map_err(|error| self.io("set the times of", path, error))?;
        }
        let stat = rustix::fs::fstat(&handle).map_err(|error| self.io("read", path, error))?;
        compare_metadata(path, &directory.metadata, &stat)?;
        self.note(path, &stat, if path.is_empty() { Changes::Ignored } else { Changes::Noted });
        for (name, entry) in entries {
            self.entry(&handle, path, name, entry)?;
        }
        let names = handles::count_names(&handle).map_err(|error| self.io("read", path, error))?;
        if names != entries.len() {
            return Err(differs(path, "it holds names that its tree does not"));
        }
        Ok(())
    }

    fn entry(&mut self, parent: &OwnedFd, path: &[u8], name: &[u8], entry: &Entry) -> Result<(), Error> {
        let full = handles::join(path, name);
        let stat = match handles::stat(parent, name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(differs(&full, "it is missing")),
            Err(error) => return Err(self.io("read", &full, error)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let node = match entry {
            Entry::Whiteout if kind == FileType::CharacterDevice && stat.st_rdev == 0 => {
                self.note(&full, &stat, Changes::Noted);
                return Ok(());
            }
            Entry::Whiteout => return Err(differs(&full, "it is no whiteout")),
            // Directories are visited on their own; that they are directories shows when they are opened.
            Entry::Node(Node::Directory(_)) => return Ok(()),
            Entry::Node(node) => node,
        };
        if !is_same_kind(node, kind, &stat) {
            return Err(differs(&full, "it is something else"));
        }
        compare_metadata(&full, node.metadata(), &stat)?;
        let stat = match self.treatment {
            Treatment::Adjust if mtime(&stat) != Some(node.metadata().mtime) => {
                let times = times(node.metadata().mtime);
                rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| self.io("set the times of", &full, error))?;
                handles::stat(parent, name).map_err(|error| self.io("read", &full, error))?
            }
            Treatment::Adjust | Treatment::Leave => stat,
        };
        self.note(&full, &stat, Changes::Noted);
        Ok(())
    }

    fn note(&mut self, path: &[u8], stat: &Stat, changes: Changes) {
        self.hasher.update(&(path.len() as u64).to_le_bytes());
        self.hasher.update(path);
        self.hasher.update(&stat.st_ino.to_le_bytes());
        if changes == Changes::Noted {
            self.hasher.update(&stat.st_ctime.to_le_bytes());
            self.hasher.update(&stat.st_ctime_nsec.to_le_bytes());
        }
    }

    fn io(&self, action: &'static str, path: &[u8], error: Errno) -> Error {
        let full = self.top.join(std::ffi::OsStr::from_bytes(path));
        match Err::<(), _>(error).while_doing(action, full) {
            Err(error) => error,
            Ok(()) => unreachable!("an error stays one"),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Changes {
    Noted,
    Ignored,
}

fn is_same_kind(node: &Node, kind: FileType, stat: &Stat) -> bool {
    match node {
        Node::Directory(_) => kind == FileType::Directory,
        Node::File(File { blob, .. }) => {
            kind == FileType::RegularFile && u64::try_from(stat.st_size).is_ok_and(|size| size == blob.size)
        }
        Node::Symlink(symlink) => {
            kind == FileType::Symlink
                && usize::try_from(stat.st_size).is_ok_and(|size| size == symlink.target.len())
        }
        Node::Device(Device { kind: expected, .. }) => {
            let numbers = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            match *expected {
                DeviceKind::Character { major, minor } => {
                    kind == FileType::CharacterDevice && numbers == (major, minor)
                }
                DeviceKind::Block { major, minor } => {
                    kind == FileType::BlockDevice && numbers == (major, minor)
                }
                DeviceKind::Fifo => kind == FileType::Fifo,
            }
        }
    }
}

fn compare_metadata(path: &[u8], metadata: &Metadata, stat: &Stat) -> Result<(), Error> {
    if stat.st_mode & 0o7777 != u32::from(metadata.mode) {
        return Err(differs(path, "its mode differs"));
    }
    if (stat.st_uid, stat.st_gid) != (metadata.uid, metadata.gid) {
        return Err(differs(path, "its owner differs"));
    }
    Ok(())
}

fn differs(path: &[u8], reason: &'static str) -> Error {
    Error::NotItsTree { path: String::from_utf8_lossy(path).into_owned(), reason }
}

fn adjust_opaque(directory: &OwnedFd, opaque: bool) -> Result<(), Errno> {
    let mut mark = [0u8; 4];
    let is_marked = match rustix::fs::fgetxattr(directory, OPAQUE, &mut mark) {
        Ok(count) => mark.get(..count) == Some(b"y"),
        // No mark, or another value that is longer than ours.
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => false,
        Err(error) => return Err(error),
    };
    match (opaque, is_marked) {
        (true, false) => set_opaque(directory),
        (false, true) => rustix::fs::fremovexattr(directory, OPAQUE),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Makes a directory hide what lower layers have in it.
pub(crate) fn set_opaque(directory: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())
}

/// Both times of a file: access is set with modification, so that it holds nothing of the moment.
pub(crate) fn times(mtime: Mtime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.0.div_euclid(NANOS), tv_nsec: mtime.0.rem_euclid(NANOS) as _ };
    Timestamps { last_access: time, last_modification: time }
}

/// The modification time, when it fits.
fn mtime(stat: &Stat) -> Option<Mtime> {
    let nanos = i64::try_from(stat.st_mtime_nsec).ok()?;
    stat.st_mtime.checked_mul(NANOS)?.checked_add(nanos).map(Mtime)
}
