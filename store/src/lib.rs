//! The content-addressed store of every node. (Signatures first; the bodies follow within the half hour.)
#![warn(missing_docs)]
#![expect(unused_variables, missing_docs, reason = "signatures only, replaced by the working crate")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farm_model::{BlobDigest, ContentDigest, DirectoryDigest, LayerDigest, OciDigest, Scope, StepDigest, StepResult};
use farm_model::result::LayerRef;
use farm_tree::records::Entries;
use farm_tree::{DirectoryRef, Records, Tree};

/// Why the store failed; `hint()` is the way out, `blame()` who can take it.
#[derive(Debug, thiserror::Error)]
#[error("…")]
pub struct Error;

impl Error {
    pub fn hint(&self) -> Option<&'static str> { soon() }
    pub fn is_environment(&self) -> bool { soon() }
}

fn soon<T>() -> T { unreachable!("signatures only") }

/// The store: a cheap handle, `Send + Sync`, blocking calls.
#[derive(Clone)]
pub struct Store;

impl Store {
    pub fn open(root: &Path) -> Result<Self, Error> { soon() }
    /// Waits for another holder until `patience` is over; `on_wait` is told its process id once.
    pub fn open_waiting(root: &Path, patience: Duration, on_wait: &mut dyn FnMut(Option<u32>)) -> Result<Self, Error> { soon() }
    pub fn root(&self) -> &Path { soon() }
    pub fn cache_mounts_root(&self) -> PathBuf { soon() }
    pub fn sync(&self) -> Result<(), Error> { soon() }

    // blobs
    pub fn contains(&self, blob: &BlobDigest) -> Result<bool, Error> { soon() }
    pub fn ingest(&self, reader: &mut dyn Read, limit: Option<u64>) -> Result<BlobDigest, Error> { soon() }
    pub fn ingest_expected(&self, reader: &mut dyn Read, expected: &BlobDigest) -> Result<(), Error> { soon() }
    /// Not verified; `Error::MissingBlob` when it is nowhere.
    pub fn open_blob(&self, blob: &BlobDigest) -> Result<Blob, Error> { soon() }
    /// Hashes while it is read: at the end a corrupt blob is quarantined and the last read fails with `InvalidData`.
    pub fn open_verified(&self, blob: &BlobDigest) -> Result<VerifiedBlob, Error> { soon() }
    /// Whole and verified.
    pub fn read_blob(&self, blob: &BlobDigest, limit: u64) -> Result<Vec<u8>, Error> { soon() }
    /// Re-hashes every copy and moves the bad ones aside; says whether a good one is left.
    pub fn quarantine(&self, blob: &BlobDigest) -> Result<bool, Error> { soon() }

    // trees
    pub fn put_tree(&self, tree: &Tree) -> Result<LayerRef, Error> { soon() }
    pub fn tree(&self, layer: &LayerDigest) -> Result<Option<Tree>, Error> { soon() }
    /// Whether tree, records and all bytes of the layer are here.
    pub fn is_complete(&self, layer: &LayerDigest) -> Result<bool, Error> { soon() }
    /// The blobs of the tree that are nowhere in this store, each once.
    pub fn missing_blobs(&self, tree: &Tree) -> Result<Vec<BlobDigest>, Error> { soon() }

    // layer directories
    pub fn layer_directory(&self, layer: &LayerDigest) -> Result<Option<PathBuf>, Error> { soon() }
    pub fn materialise(&self, tree: &Tree) -> Result<PathBuf, Error> { soon() }
    pub fn spool(&self) -> Result<Spool, Error> { soon() }
    pub fn commit_spool(&self, spool: Spool, tree: &Tree) -> Result<LayerRef, Error> { soon() }
    pub fn scratch(&self) -> Result<Scratch, Error> { soon() }
    /// `upper` lies inside a `Scratch` of this store.
    pub fn adopt(&self, upper: &Path, tree: &Tree) -> Result<LayerRef, Error> { soon() }
    pub fn drop_layer_directory(&self, layer: &LayerDigest) -> Result<(), Error> { soon() }

    // step records
    pub fn step(&self, scope: &Scope, step: &StepDigest) -> Result<Option<StepResult>, Error> { soon() }
    pub fn put_step(&self, scope: &Scope, step: &StepDigest, result: &StepResult, preimage: &[u8]) -> Result<(), Error> { soon() }
    pub fn preimage(&self, scope: &Scope, step: &StepDigest) -> Result<Option<Vec<u8>>, Error> { soon() }
    pub fn canonical(&self, scope: &Scope, chain: &ContentDigest, content: &ContentDigest) -> Result<Option<Canonical>, Error> { soon() }
    /// The first one wins; returns the winner.
    pub fn put_canonical(&self, scope: &Scope, chain: &ContentDigest, content: &ContentDigest, layer: Canonical) -> Result<Canonical, Error> { soon() }

    // OCI side
    pub fn has_oci_blob(&self, digest: &OciDigest) -> Result<Option<u64>, Error> { soon() }
    pub fn oci_blob_path(&self, digest: &OciDigest) -> Result<Option<PathBuf>, Error> { soon() }
    pub fn read_oci_blob(&self, digest: &OciDigest, limit: u64) -> Result<Option<Vec<u8>>, Error> { soon() }
    pub fn ingest_oci_blob(&self, reader: &mut dyn Read, expected: &OciDigest, limit: u64) -> Result<u64, Error> { soon() }
    /// For a blob whose digest is not known before it is written (packed layers, configs).
    pub fn oci_writer(&self) -> Result<OciWriter, Error> { soon() }
    pub fn base_layer(&self, chain_id: &OciDigest) -> Result<Option<LayerRef>, Error> { soon() }
    pub fn put_base_layer(&self, chain_id: &OciDigest, layer: &LayerRef) -> Result<(), Error> { soon() }
    pub fn packed(&self, layer: &LayerDigest, codec: &str) -> Result<Option<Packed>, Error> { soon() }
    pub fn packed_forms(&self, layer: &LayerDigest) -> Result<Vec<(String, Packed)>, Error> { soon() }
    pub fn put_packed(&self, layer: &LayerDigest, codec: &str, packed: &Packed) -> Result<(), Error> { soon() }

    // images and tags, encoded by the caller
    pub fn put_image(&self, name: &str, bytes: &[u8]) -> Result<(), Error> { soon() }
    pub fn image(&self, name: &str) -> Result<Option<Vec<u8>>, Error> { soon() }
    pub fn images(&self) -> Result<Vec<(String, Vec<u8>)>, Error> { soon() }
    pub fn put_tag(&self, reference: &str, tag: &Tag) -> Result<(), Error> { soon() }
    pub fn tag(&self, reference: &str) -> Result<Option<Tag>, Error> { soon() }
}

impl Records for Store {
    fn entries(&self, digest: DirectoryDigest) -> Result<Arc<Entries>, farm_tree::Error> { soon() }
    fn put(&self, entries: Entries) -> Result<DirectoryRef, farm_tree::Error> { soon() }
}

/// The layer that came first for a content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Canonical { pub layer: LayerRef, pub created: i64 }
/// A layer as a registry holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packed { pub digest: OciDigest, pub size: u64, pub diff_id: OciDigest }
/// What a registry answered for a tag, and when (nanoseconds since the epoch).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tag { pub bytes: Vec<u8>, pub time: i64 }

/// An open blob.
pub struct Blob;
impl Blob {
    pub fn size(&self) -> u64 { soon() }
    pub fn file(&self) -> Option<&File> { soon() }
    pub fn path(&self) -> Option<&Path> { soon() }
}
impl Read for Blob { fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> { soon() } }
/// An open blob that checks itself.
pub struct VerifiedBlob;
impl Read for VerifiedBlob { fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> { soon() } }

/// Files of a layer that is being received, not yet part of the store.
pub struct Spool;
impl Spool {
    pub fn write(&self, reader: &mut dyn Read, limit: Option<u64>) -> Result<BlobDigest, Error> { soon() }
    pub fn write_expected(&self, reader: &mut dyn Read, expected: &BlobDigest) -> Result<(), Error> { soon() }
    pub fn contains(&self, blob: &BlobDigest) -> bool { soon() }
}
/// A fresh directory on the store's file system, removed on drop.
pub struct Scratch;
impl Scratch {
    pub fn directory(&self) -> &Path { soon() }
    pub fn upper(&self) -> PathBuf { soon() }
    pub fn work(&self) -> PathBuf { soon() }
}
/// Hashes what is written to it.
pub struct OciWriter;
impl Write for OciWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { soon() }
    fn flush(&mut self) -> io::Result<()> { soon() }
}
impl OciWriter { pub fn finish(self) -> Result<(OciDigest, u64), Error> { soon() } }
