//! Where things lie below the store's root.
//!
//! | path | what |
//! |---|---|
//! | `lock` | who uses the store |
//! | `db/` | RocksDB |
//! | `blobs/ab/cdef…` | large blobs that lie in no layer |
//! | `packs/` | files of many small blobs |
//! | `layers/<LayerDigest>/` | layer directories, usable as lowers of an overlay |
//! | `oci/<sha256>` | OCI blobs |
//! | `tmp/` | what is being written; swept at open |
//! | `trash/` | what is being deleted; swept at open and in the background |
//! | `quarantine/` | what was damaged, for a person to look at |
//! | `cache-mounts/` | the worker's |
//!
//! A final name only ever receives complete bytes, by rename.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use farm_model::{BlobDigest, LayerDigest, OciDigest};

use crate::Error;
use crate::error::Context;

const PRIVATE: u32 = 0o700;

/// The directories of one store.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    next: AtomicU64,
}

impl Layout {
    /// Creates what is missing below `root`, which must exist and be locked.
    pub(crate) fn create(root: &Path) -> Result<Self, Error> {
        for name in ["db", "blobs", "layers", "packs", "oci", "tmp", "trash", "quarantine", "cache-mounts"] {
            make_private(&root.join(name))?;
        }
        for first in 0..=u8::MAX {
            make_directory(&root.join(format!("blobs/{first:02x}")))?;
        }
        Ok(Self { root: root.to_owned(), next: AtomicU64::new(0) })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("db")
    }

    pub(crate) fn blob(&self, blob: &BlobDigest) -> PathBuf {
        let hex = LayerDigest(blob.hash).to_string();
        let (first, rest) = hex.split_at(2);
        self.root.join("blobs").join(first).join(rest)
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn layer(&self, layer: &LayerDigest) -> PathBuf {
        self.root.join("layers").join(layer.to_string())
    }

    pub(crate) fn oci(&self, digest: &OciDigest) -> PathBuf {
        self.root.join("oci").join(LayerDigest(digest.0).to_string())
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    pub(crate) fn cache_mounts(&self) -> PathBuf {
        self.root.join("cache-mounts")
    }

    /// A name of its own in `tmp/`.
    pub(crate) fn temporary(&self, kind: &str) -> PathBuf {
        self.numbered("tmp", kind)
    }

    /// Moves a damaged file or directory to where nothing reads it.
    pub(crate) fn set_aside(&self, path: &Path, name: &str) -> Result<PathBuf, Error> {
        let mut to = self.numbered("quarantine", name);
        while to.symlink_metadata().is_ok() {
            to = self.numbered("quarantine", name);
        }
        fs::rename(path, &to).while_doing("move aside", path)?;
        Ok(to)
    }

    /// Moves `path` to `trash/`, from where it is deleted later.
    pub(crate) fn throw_away(&self, path: &Path) -> Result<(), Error> {
        let mut to = self.numbered("trash", "old");
        while to.symlink_metadata().is_ok() {
            to = self.numbered("trash", "old");
        }
        match fs::rename(path, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).while_doing("delete", path),
            _ => Ok(()),
        }
    }

    /// Moves everything in `tmp/` to `trash/`: with the lock held, all of it is a dead process's.
    pub(crate) fn sweep_temporary(&self) -> Result<(), Error> {
        let tmp = self.root.join("tmp");
        for entry in fs::read_dir(&tmp).while_doing("read", &tmp)? {
            let path = entry.while_doing("read", &tmp)?.path();
            // A mount that the dead process left must not keep the store closed.
            if let Err(error) = self.throw_away(&path) {
                tracing::warn!(%error, "cannot sweep what a dead process left");
            }
        }
        Ok(())
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    fn numbered(&self, directory: &str, kind: &str) -> PathBuf {
        // The process id keeps names apart from those that a sweep had to leave.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.root.join(directory).join(format!("{kind}-{}-{number}", std::process::id()))
    }
}

/// Creates a directory, and those above it, that only the owner can enter.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(PRIVATE).create(path).while_doing("create directory", path)
}

/// Creates a directory that only the owner can enter, or closes one of ours that others can: what is above it may be open,
/// and `db/` holds contents of small files.
fn make_private(path: &Path) -> Result<(), Error> {
    make_directory(path)?;
    let found = fs::symlink_metadata(path).while_doing("read", path)?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if is_ours && found.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(PRIVATE)).while_doing("close to others", path)?;
    }
    Ok(())
}

/// A file that is being written and goes away unless it is given its final name.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    path: PathBuf,
}

impl Draft {
    pub(crate) fn create(path: PathBuf) -> Result<Self, Error> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .while_doing("create", &path)?;
        Ok(Self { file, path })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the file under the name it has.
    pub(crate) fn keep(mut self) {
        self.path.clear();
    }

    /// Gives the complete file its final name.
    pub(crate) fn keep_as(mut self, path: &Path) -> Result<(), Error> {
        fs::rename(&self.path, path).while_doing("rename to", path)?;
        self.path.clear();
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // A leftover is swept at the next open.
            let _gone = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_others_could_enter_are_closed() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let database = root.path().join("db");
        fs::create_dir(&database).unwrap();
        fs::set_permissions(&database, Permissions::from_mode(0o755)).unwrap();
        Layout::create(root.path()).unwrap();
        for entry in fs::read_dir(root.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, PRIVATE, "{}", entry.path().display());
        }
    }
}
