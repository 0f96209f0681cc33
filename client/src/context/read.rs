//! Reading one entry of a context, which may be gone or something else by now.
//!
//! Everything is reached from the handle of the context's root, beneath it and without following symbolic links.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use farm_model::BlobDigest;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
use rustix::io::Errno;

use crate::context::listing::{Stat, Xattrs};

/// The longest list of attribute names and the longest value that Linux gives out.
const MOST_ATTRIBUTES: usize = 64 << 10;
/// Mostly there are no attributes at all.
const FEW_ATTRIBUTES: usize = 1 << 10;
/// A renaming neighbour makes the kernel unsure whether a path stays beneath; so it is asked again.
const TRIES: usize = 100;

/// Files come and go in a working copy; one that is gone already, or is something else, takes no part.
pub(super) fn unless_gone<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::STALE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the directory at a tree path; the empty one is the root itself.
pub(super) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    unless_gone(open(root, path, OFlags::DIRECTORY))
}

/// Opens the file at a tree path. What has become a FIFO meanwhile is not waited for.
pub(super) fn open_file(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    unless_gone(open(root, path, OFlags::NONBLOCK | OFlags::NOCTTY))
}

fn open(root: BorrowedFd<'_>, path: &[u8], more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..TRIES {
        match openat2(root, path, flags, Mode::empty(), beneath) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    openat2(root, path, flags, Mode::empty(), beneath)
}

/// What the file system says of an entry of an open directory.
pub(super) fn stat_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<Stat>, Errno> {
    let found = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    Ok(unless_gone(found)?.map(|found| Stat::of(&found)))
}

/// What the file system says of something that is open.
pub(super) fn stat_of(file: impl AsFd) -> Result<Stat, Errno> {
    Ok(Stat::of(&statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
}

/// The digest of what is read from `file`.
pub(crate) fn hash(file: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<BlobDigest> {
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(BlobDigest { hash: *hasher.finalize().as_bytes(), size }),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The attributes that a tree keeps, of something that is open.
pub(super) fn xattrs_of(file: impl AsFd) -> Result<Xattrs, Errno> {
    let file = file.as_fd();
    kept(|names| rustix::fs::flistxattr(file, names), |name, value| rustix::fs::fgetxattr(file, name, value))
}

/// The attributes that a tree keeps, of what must not be opened.
pub(super) fn xattrs_at(path: &std::path::Path) -> Result<Xattrs, Errno> {
    kept(|names| rustix::fs::llistxattr(path, names), |name, value| rustix::fs::lgetxattr(path, name, value))
}

fn kept(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    read: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Xattrs, Errno> {
    let mut few = [0; FEW_ATTRIBUTES];
    let mut many = Vec::new();
    let names = match list(&mut few) {
        Ok(length) => &few[..length],
        Err(Errno::OPNOTSUPP | Errno::NOENT) => &[],
        Err(Errno::RANGE) => {
            many.resize(MOST_ATTRIBUTES, 0);
            let length = list(&mut many)?;
            &many[..length]
        }
        Err(error) => return Err(error),
    };
    let mut kept = Xattrs::new();
    for name in names.split(|byte| *byte == 0).filter(|name| farm_tree::record::xattr_is_kept(name)) {
        let mut value = vec![0; MOST_ATTRIBUTES];
        match read(name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                value.shrink_to_fit();
                kept.insert(name.to_vec(), value);
            }
            // Removed meanwhile, alone or with its file.
            Err(Errno::NODATA | Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}
