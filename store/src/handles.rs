//! File-system calls relative to a directory handle, so that no path in a layer can lead out of it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

/// The longest path that the kernel takes, its final zero byte left out.
pub(crate) const MAX_PATH: usize = 4095;
const COPY_BUFFER: usize = 128 << 10;
const LISTING_BYTES: usize = 32 << 10;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Opens the directory at `path`, which is the store's own.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())
}

/// Opens the directory at `path` below `root`; the empty path is `root` itself.
pub(crate) fn open_directory(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(root, path, DIRECTORY, Mode::empty(), beneath())
}

/// Opens the regular file at `path` below `root` for reading.
pub(crate) fn open_file(root: impl AsFd, path: &[u8]) -> Result<File, Errno> {
    // A FIFO or device in a file's place must not block or act.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::openat2(root, path, flags, Mode::empty(), beneath())?;
    Ok(File::from(file))
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// How many names a directory has, `.` and `..` left out.
pub(crate) fn count_names(directory: impl AsFd) -> Result<usize, Errno> {
    let mut buffer = Vec::with_capacity(LISTING_BYTES);
    let mut listing = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut count = 0;
    while let Some(entry) = listing.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            count += 1;
        }
    }
    Ok(count)
}

/// Makes `to`, an empty file, share the bytes of `from`. The two stay distinct files. False where the file system cannot.
pub(crate) fn share_bytes(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Appends `size` bytes of `from`, from `offset` on, to `to`; gives the hash of what was copied.
pub(crate) fn copy_hashed(from: &File, offset: u64, size: u64, to: &mut File) -> io::Result<blake3::Hash> {
    let mut buffer = vec![0; COPY_BUFFER.min(usize::try_from(size).unwrap_or(COPY_BUFFER))];
    let mut hasher = blake3::Hasher::new();
    let mut copied = 0;
    while copied < size {
        let rest = usize::try_from(size - copied).unwrap_or(COPY_BUFFER).min(buffer.len());
        from.read_exact_at(&mut buffer[..rest], offset + copied)?;
        hasher.update(&buffer[..rest]);
        to.write_all(&buffer[..rest])?;
        copied += rest as u64;
    }
    Ok(hasher.finalize())
}

/// What is at `name` in `directory`, links not followed.
pub(crate) fn stat(directory: impl AsFd, name: &[u8]) -> Result<rustix::fs::Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// `path` and `name` joined; the root is the empty path.
pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(path.len() + 1 + name.len());
    if !path.is_empty() {
        joined.extend_from_slice(path);
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined
}

/// `path` as its directory and last name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// A path to `name` in `directory`, for the calls that take no handle.
pub(crate) fn through_proc(directory: &OwnedFd, name: &[u8]) -> Vec<u8> {
    use rustix::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}
