//! What a walk saw: directories with their children, and what a file system says of each.

use farm_dockerfile::ignore::Verdict;
use farm_model::BlobDigest;
use farm_tree::{DeviceKind, Metadata, Mtime};
use rustix::fs::{FileType, Statx, StatxTimestamp};

use crate::context::wanted::Reach;

const NANOS: i64 = 1_000_000_000;

/// Extended attributes that a tree keeps.
pub(super) type Xattrs = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

/// What tells two states of a file apart without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    /// Nanoseconds since the Unix epoch, as all times here.
    pub(super) mtime: i64,
    pub(super) ctime: i64,
    pub(super) inode: u64,
    pub(super) device: u64,
}

/// What a file system says of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) stamp: Stamp,
    pub(super) mode: u16,
    pub(super) links: u32,
    /// Major and minor number, of a device.
    pub(super) number: (u32, u32),
}

/// A directory on the way down.
#[derive(Debug)]
pub(super) struct Visit {
    /// Position of its listing; always greater than that of the directory it lies in.
    pub(super) id: usize,
    /// Tree path.
    pub(super) path: Vec<u8>,
    pub(super) depth: usize,
    /// Of the ignore patterns. One that is ignored itself appears only when something in it does.
    pub(super) verdict: Verdict,
    pub(super) reach: Reach,
}

/// A directory and those of its entries that take part.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) visit: Visit,
    pub(super) metadata: Metadata,
    /// Sorted by name.
    pub(super) children: Vec<Child>,
}

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: Box<[u8]>,
    pub(super) stat: Stat,
    pub(super) kind: Kind,
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum Kind {
    /// By the position of its listing.
    Directory(usize),
    /// A regular file; without contents while they are not known, and when it is gone.
    File(Option<Contents>),
    Symlink(Vec<u8>, Xattrs),
    Device(DeviceKind, Xattrs),
}

/// What is in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Contents {
    pub(super) blob: BlobDigest,
    pub(super) xattrs: Xattrs,
    pub(super) origin: Origin,
}

/// How contents are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// From an earlier scan.
    Remembered,
    /// Read now, and any later change will show in the file's stamp.
    Settled,
    /// Read now, from a file so new that a later change might not show.
    Unsettled,
}

impl Stat {
    pub(super) fn of(found: &Statx) -> Self {
        let nanos =
            |time: StatxTimestamp| time.tv_sec.saturating_mul(NANOS).saturating_add(i64::from(time.tv_nsec));
        Self {
            stamp: Stamp {
                size: found.stx_size,
                mtime: nanos(found.stx_mtime),
                ctime: nanos(found.stx_ctime),
                inode: found.stx_ino,
                device: u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor),
            },
            mode: found.stx_mode,
            links: found.stx_nlink,
            number: (found.stx_rdev_major, found.stx_rdev_minor),
        }
    }

    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode.into())
    }

    /// The metadata in a tree: everything belongs to root.
    pub(super) fn metadata(&self, xattrs: Xattrs) -> Metadata {
        let mode = if self.file_type() == FileType::Symlink { 0o777 } else { self.mode & 0o7777 };
        Metadata { mode, uid: 0, gid: 0, mtime: Mtime(self.stamp.mtime), xattrs }
    }
}
