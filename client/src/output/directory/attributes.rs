//! Owners, modes, times and extended attributes of what was unpacked.

use std::os::fd::{AsFd, OwnedFd};

use farm_tree::Metadata;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, utimensat,
};
use rustix::io::Errno;

use super::{Directories, Root};
use crate::Error;

const NANOS: i64 = 1_000_000_000;

/// Whether owners and device nodes can be made.
pub(super) fn privileged() -> bool {
    rustix::process::geteuid().is_root()
}

/// Owner, attributes, mode and time of something that is open.
pub(super) fn opened(file: impl AsFd, metadata: &Metadata) -> Result<(), Errno> {
    let file = file.as_fd();
    if privileged() {
        fchown(file, Some(Uid::from_raw(metadata.uid)), Some(Gid::from_raw(metadata.gid)))?;
    }
    for (name, value) in &metadata.xattrs {
        match fsetxattr(file, &name[..], value, XattrFlags::empty()) {
            // What the file system or the user cannot have is left out, as every unpacker does.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    fchmod(file, Mode::from_raw_mode(u32::from(metadata.mode)))?;
    futimens(file, &times(metadata))
}

/// Owner and time of something that must not be opened.
pub(super) fn unopened(parent: &OwnedFd, name: &[u8], metadata: &Metadata) -> Result<(), Errno> {
    if privileged() {
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    utimensat(parent, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW)
}

/// Gives directories what belongs to them, children before parents.
pub(super) fn finish(root: &Root, directories: &Directories) -> Result<(), Error> {
    for (full, metadata) in directories.iter().rev() {
        let directory = root.directory(full, OFlags::RDONLY)?;
        opened(&directory, metadata).map_err(|error| root.failed(full, error))?;
    }
    Ok(())
}

fn times(metadata: &Metadata) -> Timestamps {
    let nanos = metadata.mtime.0;
    let time = Timespec { tv_sec: nanos.div_euclid(NANOS), tv_nsec: nanos.rem_euclid(NANOS) };
    Timestamps { last_access: time, last_modification: time }
}
