//! Bytes and records between any two stores.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

use farm_model::{BlobDigest, DirectoryDigest, LayerDigest};
use rkyv::{Archive, Deserialize, Serialize};

/// In place of an item's length: the thing is not there.
pub const ABSENT: u64 = u64::MAX;

/// The most things that one request may name; a longer list is asked for in pieces.
pub const MOST_ITEMS: usize = 4096;

/// Asks for things by digest; the answer is one item each, in order. Whoever asked checks each against its digest.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Fetch {
    /// Layers: the encoded root of each tree.
    Trees {
        /// Which.
        layers: Vec<LayerDigest>,
    },
    /// Directory records, encoded.
    Records {
        /// Which.
        digests: Vec<DirectoryDigest>,
    },
    /// File contents.
    Blobs {
        /// Which.
        blobs: Vec<BlobDigest>,
    },
}
