//! Which records and blobs the trees that stay need.
//!
//! Only a part of each digest is kept, which is enough for tens of millions: two digests that share it keep each other.

use std::collections::HashSet;

use farm_tree::{Entry, Node, Tree};

use crate::work::part;
use crate::{Error, Store};

/// How much of a tree is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Need {
    /// Records and bytes.
    Everything,
    /// Records alone: it explains something.
    Records,
}

#[derive(Default)]
pub(super) struct Marks {
    /// Records whose blobs are needed too.
    whole: HashSet<u64>,
    /// Records of which only they themselves are needed.
    bare: HashSet<u64>,
    blobs: HashSet<u64>,
}

impl Marks {
    pub(super) fn has_record(&self, digest: &[u8; 32]) -> bool {
        self.whole.contains(&part(digest)) || self.bare.contains(&part(digest))
    }

    pub(super) fn has_blob(&self, hash: &[u8; 32]) -> bool {
        self.blobs.contains(&part(hash))
    }

    /// As [`Marks::has_blob`], by what is remembered of a digest.
    pub(super) fn has_blob_part(&self, part: u64) -> bool {
        self.blobs.contains(&part)
    }

    /// Marks what `tree` needs; shows each blob that was not marked before.
    pub(super) fn mark(
        &mut self,
        store: &Store,
        tree: &Tree,
        need: Need,
        is_new: &mut dyn FnMut(&farm_model::BlobDigest),
    ) -> Result<(), Error> {
        let mut open = vec![tree.root.record.digest];
        while let Some(digest) = open.pop() {
            let marked = match need {
                Need::Everything => &mut self.whole,
                Need::Records => &mut self.bare,
            };
            if !marked.insert(part(digest.as_bytes())) {
                continue;
            }
            let entries = match store.untouched_entries(digest) {
                Ok(entries) => entries,
                // The tree is not all here; what is here of it stays.
                Err(farm_tree::Error::MissingRecord(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in entries.values() {
                match entry {
                    Entry::Node(Node::Directory(directory)) => open.push(directory.record.digest),
                    Entry::Node(Node::File(file)) if need == Need::Everything => {
                        if self.blobs.insert(part(&file.blob.hash)) {
                            is_new(&file.blob);
                        }
                    }
                    Entry::Node(_) | Entry::Whiteout => {}
                }
            }
        }
        Ok(())
    }
}
