//! Where directory records are kept. The algebra asks for them by digest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use farm_model::DirectoryDigest;

use crate::encoding;
pub use crate::error::Error;
use crate::record::{DirectoryRef, Entry};

/// The entries of one directory, sorted by name as bytes, each name once, never empty, `.`, `..` or with a slash.
pub type Entries = BTreeMap<Arc<[u8]>, Entry>;

/// Keeps directory records.
pub trait Records {
    /// The entries of the record `digest`. The empty record is always there.
    fn entries(&self, digest: DirectoryDigest) -> Result<Arc<Entries>, Error>;

    /// Keeps `entries` and names them.
    fn put(&self, entries: Entries) -> Result<DirectoryRef, Error>;
}

impl<R: Records + ?Sized> Records for &R {
    fn entries(&self, digest: DirectoryDigest) -> Result<Arc<Entries>, Error> {
        (**self).entries(digest)
    }

    fn put(&self, entries: Entries) -> Result<DirectoryRef, Error> {
        (**self).put(entries)
    }
}

impl<R: Records + ?Sized> Records for Arc<R> {
    fn entries(&self, digest: DirectoryDigest) -> Result<Arc<Entries>, Error> {
        (**self).entries(digest)
    }

    fn put(&self, entries: Entries) -> Result<DirectoryRef, Error> {
        (**self).put(entries)
    }
}

/// Records in memory: for tests and for trees that live shorter than a build.
#[derive(Debug, Default)]
pub struct MemoryRecords {
    records: Mutex<HashMap<DirectoryDigest, Arc<Entries>>>,
}

impl MemoryRecords {
    /// No records but the empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records it keeps.
    pub fn len(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing was put.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Records for MemoryRecords {
    fn entries(&self, digest: DirectoryDigest) -> Result<Arc<Entries>, Error> {
        if digest == DirectoryRef::empty().digest {
            return Ok(Arc::default());
        }
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(&digest).cloned().ok_or(Error::MissingRecord(digest))
    }

    fn put(&self, entries: Entries) -> Result<DirectoryRef, Error> {
        let name = encoding::seal(&entries).0;
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.entry(name.digest).or_insert_with(|| Arc::new(entries));
        Ok(name)
    }
}

/// The entries of a record, without asking for the empty one.
pub(crate) fn load(records: &dyn Records, record: &DirectoryRef) -> Result<Arc<Entries>, Error> {
    if *record == DirectoryRef::empty() {
        return Ok(Arc::default());
    }
    records.entries(record.digest)
}
