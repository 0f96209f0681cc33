//! Where directory records are kept. The algebra asks for them by digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use farm_model::DirectoryDigest;

use crate::record::{DirectoryRef, Entry};

/// The entries of one directory, sorted by name as bytes, each name once, never empty, `.`, `..` or with a slash.
pub type Entries = BTreeMap<Arc<[u8]>, Entry>;

/// Why a tree operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record that a tree names is not there.
    #[error("directory record `{0}` is not in the store")]
    MissingRecord(DirectoryDigest),
}

/// Keeps directory records.
pub trait Records {
    /// The entries of the record `digest`.
    fn entries(&self, digest: DirectoryDigest) -> Result<Arc<Entries>, Error>;

    /// Keeps `entries` and names them.
    fn put(&self, entries: Entries) -> Result<DirectoryRef, Error>;
}

/// Records in memory: for tests and for trees that live shorter than a build.
#[derive(Debug, Default)]
pub struct MemoryRecords {}
