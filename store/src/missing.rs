//! What a tree lacks: a walk over its records that skips what an earlier walk found whole.

use std::collections::HashMap;

use farm_model::{BlobDigest, DirectoryDigest};
use farm_tree::{Entry, Node, Tree};

use crate::database::Table;
use crate::work::Thing;
use crate::{Error, Store};

impl Store {
    /// The blobs of `tree` that are nowhere in the store, each once.
    pub fn missing_blobs(&self, tree: &Tree) -> Result<Vec<BlobDigest>, Error> {
        self.missing(tree, usize::MAX)
    }

    pub(crate) fn first_missing(&self, tree: &Tree) -> Result<Option<BlobDigest>, Error> {
        Ok(self.missing(tree, 1)?.pop())
    }

    /// Up to `most` blobs of `tree` that are nowhere. What an earlier walk found whole is not walked again, if the tree is in
    /// the store: then it is kept as a whole.
    fn missing(&self, tree: &Tree, most: usize) -> Result<Vec<BlobDigest>, Error> {
        let layer = tree.layer_digest();
        self.core.touched.touch(Thing::Layer, layer.as_bytes());
        let era = self.core.whole.era();
        let is_kept = self.core.database.has(Table::Trees, layer.as_bytes())?;
        let mut walk = Walk { store: self, is_kept, most, ..Walk::new(self) };
        walk.run(tree.root.record.digest)?;
        self.core.whole.add(era, &walk.whole);
        Ok(walk.missing)
    }
}

/// A walk that looks for blobs that are missing.
struct Walk<'a> {
    store: &'a Store,
    /// Whether the tree keeps alive what lies below it.
    is_kept: bool,
    most: usize,
    missing: Vec<BlobDigest>,
    /// Whether each blob that was looked for is there.
    looked: HashMap<BlobDigest, Presence>,
    /// How each record turned out that was walked to its end.
    walked: HashMap<DirectoryDigest, Presence>,
    whole: Vec<DirectoryDigest>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Presence {
    All,
    NotAll,
}

/// A record whose subdirectories are being walked.
struct Open {
    digest: DirectoryDigest,
    presence: Presence,
    below: Vec<DirectoryDigest>,
}

impl<'a> Walk<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            is_kept: false,
            most: 0,
            missing: Vec::new(),
            looked: HashMap::new(),
            walked: HashMap::new(),
            whole: Vec::new(),
        }
    }

    fn run(&mut self, root: DirectoryDigest) -> Result<(), Error> {
        let mut open = vec![self.open(root)?];
        while let Some(top) = open.last_mut() {
            if self.missing.len() >= self.most {
                return Ok(());
            }
            if let Some(next) = top.below.pop() {
                match self.known(&next) {
                    Some(presence) => top.presence = top.presence.max(presence),
                    None => open.push(self.open(next)?),
                }
                continue;
            }
            let Some(Open { digest, presence, .. }) = open.pop() else { break };
            self.walked.insert(digest, presence);
            if presence == Presence::All {
                self.whole.push(digest);
            }
            if let Some(parent) = open.last_mut() {
                parent.presence = parent.presence.max(presence);
            }
        }
        Ok(())
    }

    fn known(&self, record: &DirectoryDigest) -> Option<Presence> {
        if self.is_kept && self.store.core.whole.has(record) {
            return Some(Presence::All);
        }
        self.walked.get(record).copied()
    }

    /// Looks for the files of a record.
    fn open(&mut self, digest: DirectoryDigest) -> Result<Open, Error> {
        let mut open = Open { digest, presence: Presence::All, below: Vec::new() };
        for entry in self.store.untouched_entries(digest)?.values() {
            match entry {
                Entry::Node(Node::Directory(directory)) => open.below.push(directory.record.digest),
                Entry::Node(Node::File(file)) => open.presence = open.presence.max(self.look(&file.blob)?),
                Entry::Node(Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout => {}
            }
        }
        Ok(open)
    }

    fn look(&mut self, blob: &BlobDigest) -> Result<Presence, Error> {
        if let Some(presence) = self.looked.get(blob) {
            return Ok(*presence);
        }
        let presence = if self.store.contains(blob)? {
            Presence::All
        } else {
            if self.missing.len() < self.most {
                self.missing.push(*blob);
            }
            Presence::NotAll
        };
        self.looked.insert(*blob, presence);
        Ok(presence)
    }
}
