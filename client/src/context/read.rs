//! Reading one entry of a context, which may be gone or something else by now.

use std::collections::BTreeMap;
use std::fs::{Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use farm_model::BlobDigest;
use farm_tree::{Device, DeviceKind, Directory, Mtime, Node, Symlink};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::Error;

/// The longest list of attribute names and the longest value that Linux gives out.
const MOST_ATTRIBUTES: usize = 64 << 10;

/// Files come and go in a working copy; one that is gone already takes no part.
pub(super) fn unless_gone<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The digest of a file; none when it is gone, or has become something that is no file.
pub(super) fn hash_file(path: &Path, buffer: &mut [u8]) -> Result<Option<BlobDigest>, Error> {
    // What has become a FIFO meanwhile must not be waited for.
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let opened =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(Error::io("read", path));
    let Some(mut file) = unless_gone(opened)? else { return Ok(None) };
    if !file.metadata().map_err(Error::io("inspect", path))?.is_file() {
        return Ok(None);
    }
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(Some(BlobDigest { hash: *hasher.finalize().as_bytes(), size })),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
}

/// Everything but regular files. Sockets take no part: nothing can hold one.
pub(super) fn node_of(path: &Path, metadata: &Metadata) -> Result<Option<Node>, Error> {
    let kind = metadata.file_type();
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let device = |kind| metadata_of(path, metadata).map(|metadata| Node::Device(Device { metadata, kind }));
    let node = if kind.is_dir() {
        Node::Directory(Directory::empty(metadata_of(path, metadata)?))
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path).map_err(Error::io("read link", path))?;
        Node::Symlink(Symlink {
            metadata: metadata_of(path, metadata)?,
            target: target.into_os_string().into_vec(),
        })
    } else if kind.is_char_device() {
        device(DeviceKind::Character { major, minor })?
    } else if kind.is_block_device() {
        device(DeviceKind::Block { major, minor })?
    } else if kind.is_fifo() {
        device(DeviceKind::Fifo)?
    } else {
        return Ok(None);
    };
    Ok(Some(node))
}

pub(super) fn metadata_of(path: &Path, metadata: &Metadata) -> Result<farm_tree::Metadata, Error> {
    let mode = if metadata.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 };
    let nanos = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Ok(farm_tree::Metadata {
        mode: u16::try_from(mode).expect("twelve bits fit"),
        uid: 0,
        gid: 0,
        mtime: Mtime(nanos),
        xattrs: kept_xattrs(path)?,
    })
}

fn kept_xattrs(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let failed = |error: rustix::io::Errno| Error::io("read attributes of", path)(error.into());
    let mut names = vec![0; 1024];
    let length = loop {
        match rustix::fs::llistxattr(path, &mut names) {
            Ok(length) => break length,
            Err(Errno::OPNOTSUPP | Errno::NOENT) => break 0,
            Err(Errno::RANGE) if names.len() < MOST_ATTRIBUTES => names.resize(MOST_ATTRIBUTES, 0),
            Err(error) => return Err(failed(error)),
        }
    };
    let mut kept = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| farm_tree::record::xattr_is_kept(name))
    {
        let mut value = vec![0; MOST_ATTRIBUTES];
        match rustix::fs::lgetxattr(path, name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                value.shrink_to_fit();
                kept.insert(name.to_vec(), value);
            }
            // Removed meanwhile, alone or with its file.
            Err(Errno::NODATA | Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(kept)
}
