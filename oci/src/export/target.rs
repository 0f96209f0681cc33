//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// A file that is written beside its target and renamed when it is complete. Dropped before, it vanishes.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

/// Tells the temporary files of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl AtomicFile {
    /// Prepares to write `target`. Its directory must exist.
    pub fn create(target: &Path) -> Result<Self, Error> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::io("create", target)(io::ErrorKind::InvalidInput.into()))?;
        if target.is_dir() {
            return Err(Error::io("create", target)(io::ErrorKind::IsADirectory.into()));
        }
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{}.partial", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let temporary = target.with_file_name(temporary);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(Error::io("create", target))?;
        Ok(Self { file, temporary, target: target.to_owned(), committed: false })
    }

    /// Gives the file its name.
    pub fn commit(mut self) -> Result<(), Error> {
        std::fs::rename(&self.temporary, &self.target).map_err(Error::io("create", &self.target))?;
        self.committed = true;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) = std::fs::remove_file(&self.temporary)
        {
            tracing::warn!(path = %self.temporary.display(), %error, "an unfinished file could not be removed");
        }
    }
}
