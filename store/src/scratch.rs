//! Working directories of steps.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::error::Context;
use crate::layout::make_directory;
use crate::{Error, Store};

/// The mode of an upper's root is what a step sees as the mode of `/`.
const UPPER_MODE: Mode = Mode::from_bits_retain(0o755);

/// A fresh directory on the store's file system, with an upper and a work directory for an overlay. Dropping it
/// removes it; what [`Store::adopt`] took out of it stays. A dead process's are swept when the store is opened.
pub struct Scratch {
    store: Store,
    directory: PathBuf,
}

impl Store {
    /// A new scratch directory.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        let directory = self.core.layout.temporary("scratch");
        make_directory(&directory)?;
        let scratch = Scratch { store: self.clone(), directory };
        make_directory(&scratch.work())?;
        let upper = scratch.upper();
        make_directory(&upper)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&upper, flags, Mode::empty())
            .and_then(|handle| rustix::fs::fchmod(handle, UPPER_MODE))
            .while_doing("set the mode of", &upper)?;
        Ok(scratch)
    }
}

impl Scratch {
    /// The whole of it; names other than `upper` and `work` are the caller's.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// An empty directory for what a step writes.
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    /// An empty directory for the overlay itself.
    pub fn work(&self) -> PathBuf {
        self.directory.join("work")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.store.throw_away(&self.directory) {
            tracing::warn!(%error, "a scratch directory is left until the next start");
        }
    }
}
