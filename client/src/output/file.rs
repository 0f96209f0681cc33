//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// A file that is written beside its target and renamed when it is complete. Dropped before, it vanishes.
#[derive(Debug)]
pub(super) struct AtomicFile {
    /// None once it was closed.
    file: Option<File>,
    /// None for a device or a pipe, which is written to and not replaced.
    temporary: Option<PathBuf>,
    target: PathBuf,
}

/// Tells the temporary files of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A name beside `target` that nobody else uses.
pub(super) fn beside(target: &Path) -> Result<PathBuf, Error> {
    let name =
        target.file_name().ok_or_else(|| Error::io("create", target)(io::ErrorKind::InvalidInput.into()))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(unique());
    Ok(target.with_file_name(temporary))
}

/// The end of a temporary name.
pub(super) fn unique() -> String {
    format!(".{}-{}.partial", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

impl AtomicFile {
    /// Prepares to write `target`. Its directory must exist.
    pub(super) fn create(target: &Path) -> Result<Self, Error> {
        // What a symbolic link names is replaced, not the link.
        let target = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        if target.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let file = OpenOptions::new().write(true).open(&target).map_err(Error::io("open", &target))?;
            return Ok(Self { file: Some(file), temporary: None, target });
        }
        if target.is_dir() {
            return Err(Error::io("create", target)(io::ErrorKind::IsADirectory.into()));
        }
        let temporary = beside(&target)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(Error::io("create", &target))?;
        Ok(Self { file: Some(file), temporary: Some(temporary), target })
    }

    /// Gives the handle back; the file still waits for its name.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Gives the file its name.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.target).map_err(Error::io("create", &self.target))?;
            self.temporary = None;
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary
            && let Err(error) = std::fs::remove_file(temporary)
        {
            tracing::warn!(path = %temporary.display(), %error, "an unfinished file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_and_what_it_names_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        let mut file = AtomicFile::create(&link).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"old");
        file.commit().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn a_pipe_is_written_to_and_not_replaced() {
        use std::io::Read as _;
        use std::os::unix::fs::FileTypeExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"tar").unwrap();
        file.commit().unwrap();
        let mut bytes = [0; 3];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"tar");
        assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
    }
}
