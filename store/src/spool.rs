//! Files of a layer that is being received: on the store's file system, but not yet part of the store.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farm_model::BlobDigest;

use crate::blobs::{check, write_hashed};
use crate::error::Context;
use crate::layout::{Draft, make_directory};
use crate::{Error, Store};

/// A temporary directory of hashed files; gone when dropped, whatever was not moved into a layer with it.
pub struct Spool {
    store: Store,
    directory: PathBuf,
    next: AtomicU64,
    files: Mutex<HashMap<BlobDigest, Spooled>>,
}

/// One of its files.
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
}

impl Store {
    /// A new, empty spool.
    pub fn spool(&self) -> Result<Spool, Error> {
        let directory = self.core.layout.temporary("spool");
        make_directory(&directory)?;
        Ok(Spool { store: self.clone(), directory, next: AtomicU64::new(0), files: Mutex::default() })
    }
}

impl Spool {
    /// Keeps the bytes of `reader` and names them. With a `limit`, more bytes than that are refused.
    pub fn write(&self, reader: &mut dyn Read, limit: Option<u64>) -> Result<BlobDigest, Error> {
        self.take_in(reader, limit.unwrap_or(u64::MAX), None)
    }

    /// Keeps the bytes of `reader` if they are `expected`, else nothing and [`Error::Mismatch`].
    pub fn write_expected(&self, reader: &mut dyn Read, expected: &BlobDigest) -> Result<(), Error> {
        self.take_in(reader, expected.size, Some(expected)).map(drop)
    }

    /// Whether it holds `blob`.
    pub fn contains(&self, blob: &BlobDigest) -> bool {
        blob.size == 0 || self.files().contains_key(blob)
    }

    /// Opens a file that was written to it.
    pub fn open(&self, blob: &BlobDigest) -> Result<Option<std::fs::File>, Error> {
        match self.files().get(blob) {
            None => Ok(None),
            Some(Spooled { path }) => std::fs::File::open(path).while_doing("open", path).map(Some),
        }
    }

    /// Gives a file away: the caller moves it.
    pub(crate) fn take(&self, blob: &BlobDigest) -> Option<Spooled> {
        self.files().remove(blob)
    }

    fn take_in(
        &self,
        reader: &mut dyn Read,
        limit: u64,
        expected: Option<&BlobDigest>,
    ) -> Result<BlobDigest, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(number.to_string());
        let mut draft = Draft::create(path.clone())?;
        let blob = write_hashed(reader, &mut draft, limit, expected)?;
        check(&blob, limit, expected)?;
        let mut files = self.files();
        if blob.size > 0 && !files.contains_key(&blob) {
            draft.keep();
            files.insert(blob, Spooled { path });
        }
        Ok(blob)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<BlobDigest, Spooled>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = self.store.throw_away(&self.directory) {
            tracing::warn!(%error, "a spool is left until the next start");
        }
    }
}
