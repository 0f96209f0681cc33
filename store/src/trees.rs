//! Directory records and the trees that they make up.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use farm_model::encoding::Decoder;
use farm_model::result::LayerRef;
use farm_model::{DirectoryDigest, LayerDigest};
use farm_tree::encoding::{decode, record_digest, seal};
use farm_tree::{Directory, DirectoryRef, Entries, Entry, Node, Records, Tree};

use crate::database::{Table, read_value, value};
use crate::work::Thing;
use crate::{Error, Store, handles};

/// More names than any layer has; a tree that shares records with itself could claim any number.
const MAX_ENTRIES: u64 = 50_000_000;

impl Records for Store {
    fn entries(&self, digest: DirectoryDigest) -> Result<Arc<Entries>, farm_tree::Error> {
        if digest == DirectoryRef::empty().digest {
            return Ok(Arc::default());
        }
        self.core.touched.touch(Thing::Record, digest.as_bytes());
        self.untouched_entries(digest)
    }

    fn put(&self, entries: Entries) -> Result<DirectoryRef, farm_tree::Error> {
        let (name, bytes) = seal(&entries);
        self.core.touched.touch(Thing::Record, name.digest.as_bytes());
        if name != DirectoryRef::empty() && self.core.records.get(&name.digest).is_none() {
            self.keep_record(&name.digest, &bytes).map_err(foreign)?;
            self.core.records.insert(name.digest, Arc::new(entries));
        }
        Ok(name)
    }
}

fn foreign(error: Error) -> farm_tree::Error {
    farm_tree::Error::Store(Box::new(error))
}

impl Store {
    /// As [`Records::entries`], for a look that keeps nothing alive: below a layer that is kept as a whole.
    pub(crate) fn untouched_entries(
        &self,
        digest: DirectoryDigest,
    ) -> Result<Arc<Entries>, farm_tree::Error> {
        if digest == DirectoryRef::empty().digest {
            return Ok(Arc::default());
        }
        if let Some(entries) = self.core.records.get(&digest) {
            return Ok(entries);
        }
        let bytes = self.record_bytes(&digest).map_err(foreign)?;
        let bytes = bytes.ok_or(farm_tree::Error::MissingRecord(digest))?;
        let entries = decode(&bytes).map_err(|source| farm_tree::Error::Malformed { digest, source })?;
        let entries = Arc::new(entries);
        self.core.records.insert(digest, Arc::clone(&entries));
        Ok(entries)
    }

    /// The written encoding of a directory record, for sending it to another machine.
    pub fn record_bytes(&self, digest: &DirectoryDigest) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut row) = self.core.database.get(Table::Records, digest.as_bytes())? else {
            return Ok(None);
        };
        // The version byte of the row; the record's own layout is part of its digest's context.
        read_value(Table::Records, &row[..row.len().min(1)], |_| Ok(()))?;
        row.remove(0);
        Ok(Some(row))
    }

    /// Keeps a directory record that came from another machine, after checking digest and form. Says whether it was
    /// what it should be; if not, nothing is kept.
    pub fn put_record_bytes(&self, digest: &DirectoryDigest, bytes: &[u8]) -> Result<bool, Error> {
        self.core.touched.touch(Thing::Record, digest.as_bytes());
        if record_digest(bytes) != *digest || decode(bytes).is_err() {
            return Ok(false);
        }
        self.keep_record(digest, bytes)?;
        Ok(true)
    }

    /// Whether a directory record is here.
    pub fn has_record(&self, digest: &DirectoryDigest) -> Result<bool, Error> {
        self.core.touched.touch(Thing::Record, digest.as_bytes());
        Ok(*digest == DirectoryRef::empty().digest
            || self.core.database.has(Table::Records, digest.as_bytes())?)
    }

    fn keep_record(&self, digest: &DirectoryDigest, bytes: &[u8]) -> Result<(), Error> {
        if self.core.database.has(Table::Records, digest.as_bytes())? {
            return Ok(());
        }
        let mut row = value();
        row.raw(bytes);
        self.core.database.put(Table::Records, digest.as_bytes(), row.as_bytes())
    }

    /// Keeps a tree whose records are in the store; its bytes may come later or never.
    pub fn put_tree(&self, tree: &Tree) -> Result<LayerRef, Error> {
        let layer = tree.layer_ref();
        self.core.touched.touch(Thing::Layer, layer.digest.as_bytes());
        if !self.core.database.has(Table::Trees, layer.digest.as_bytes())? {
            self.entries(tree.root.record.digest)?;
            let (key, row) = tree_row(&layer.digest, tree);
            self.core.database.put(Table::Trees, &key, &row)?;
            self.core.touched.came(&layer.digest);
        }
        Ok(layer)
    }

    /// The tree of a layer.
    pub fn tree(&self, layer: &LayerDigest) -> Result<Option<Tree>, Error> {
        self.core.touched.touch(Thing::Layer, layer.as_bytes());
        self.untouched_tree(layer)
    }

    /// As [`Store::tree`], for a look that keeps nothing alive.
    pub(crate) fn untouched_tree(&self, layer: &LayerDigest) -> Result<Option<Tree>, Error> {
        let Some(row) = self.core.database.get(Table::Trees, layer.as_bytes())? else {
            return Ok(None);
        };
        read_value(Table::Trees, &row, |decoder| {
            let bytes = decoder.bytes()?;
            Tree::decode(bytes)
        })
        .map(Some)
    }

    /// The tree of a layer as it is sent to another machine: the preimage of its digest.
    pub fn encoded_tree(&self, layer: &LayerDigest) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.tree(layer)?.map(|tree| tree.encode()))
    }

    /// Keeps a tree that came from another machine. Its records must be here, since all that the tree says about them is
    /// checked: ask [`Store::missing_records`] of the decoded tree until none is missing. What is not a tree, or lies about
    /// its records, is an error, and nothing is kept.
    pub fn put_encoded_tree(&self, bytes: &[u8]) -> Result<LayerRef, Error> {
        let tree = Tree::decode(bytes).map_err(|source| Error::Malformed { table: "trees", source })?;
        farm_tree::verify(self, &tree)?;
        self.put_tree(&tree)
    }

    /// The records of `tree` that are not here but named by one that is, each once. When they have come, those that they
    /// name in turn may be missing.
    pub fn missing_records(&self, tree: &Tree) -> Result<Vec<DirectoryDigest>, Error> {
        let mut missing = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![tree.root.record.digest];
        while let Some(digest) = open.pop() {
            if !seen.insert(digest) {
                continue;
            }
            let entries = match self.entries(digest) {
                Ok(entries) => entries,
                Err(farm_tree::Error::MissingRecord(_)) => {
                    missing.push(digest);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            open.extend(entries.values().filter_map(|entry| match entry {
                Entry::Node(Node::Directory(directory)) => Some(directory.record.digest),
                Entry::Node(_) | Entry::Whiteout => None,
            }));
        }
        Ok(missing)
    }

    /// Every complete layer, sorted: what this store can serve to others.
    pub fn layer_digests(&self) -> Result<Vec<LayerDigest>, Error> {
        let mut layers: BTreeSet<LayerDigest> = self.core.directories.all().into_iter().collect();
        let generation = self.core.generation();
        for (key, row) in self.core.database.rows(Table::Complete, &[])? {
            let Ok(layer) = <[u8; 32]>::try_from(&*key).map(LayerDigest) else {
                continue;
            };
            let known = read_value(Table::Complete, &row, Decoder::u64)? == generation;
            if !layers.contains(&layer) && (known || self.is_complete(&layer)?) {
                layers.insert(layer);
            }
        }
        Ok(layers.into_iter().collect())
    }

    /// Whether the tree of `layer`, its records and all its bytes are here. A layer directory counts by its presence;
    /// it is compared with its tree when it is first used.
    pub fn is_complete(&self, layer: &LayerDigest) -> Result<bool, Error> {
        let Some(tree) = self.tree(layer)? else {
            return Ok(false);
        };
        if self.core.directories.has(layer) {
            if self.core.layout.layer(layer).is_dir() {
                return Ok(true);
            }
            self.forget_directory(layer)?;
        }
        let generation = self.core.generation();
        if let Some(row) = self.core.database.get(Table::Complete, layer.as_bytes())?
            && read_value(Table::Complete, &row, Decoder::u64)? == generation
        {
            return Ok(true);
        }
        let complete = match self.first_missing(&tree) {
            Ok(missing) => missing.is_none(),
            Err(Error::Tree(farm_tree::Error::MissingRecord(_))) => false,
            Err(error) => return Err(error),
        };
        if complete {
            let mut row = value();
            row.u64(generation);
            self.core.database.put(Table::Complete, layer.as_bytes(), row.as_bytes())?;
        }
        Ok(complete)
    }

    /// Visits every directory of `tree` with its path, parents first; refuses trees that no file system could hold.
    pub(crate) fn each_directory(&self, tree: &Tree, visit: &mut VisitDirectory<'_>) -> Result<(), Error> {
        let mut open = vec![(Vec::new(), tree.root.clone())];
        let mut count = 0u64;
        while let Some((path, directory)) = open.pop() {
            let entries = self.untouched_entries(directory.record.digest)?;
            count = count.saturating_add(entries.len() as u64);
            if path.len() > handles::MAX_PATH {
                return Err(Error::PathTooLong { limit: handles::MAX_PATH });
            }
            if count > MAX_ENTRIES {
                return Err(Error::TooManyEntries { limit: MAX_ENTRIES });
            }
            visit(&path, &directory, &entries)?;
            for (name, entry) in entries.iter().rev() {
                if let Entry::Node(Node::Directory(directory)) = entry {
                    open.push((handles::join(&path, name), directory.clone()));
                }
            }
        }
        Ok(())
    }
}

/// Is shown the path of a directory, its own metadata and its entries.
pub(crate) type VisitDirectory<'a> = dyn FnMut(&[u8], &Directory, &Entries) -> Result<(), Error> + 'a;

/// The row of a tree.
pub(crate) fn tree_row(layer: &LayerDigest, tree: &Tree) -> ([u8; 32], Vec<u8>) {
    let mut row = value();
    row.bytes(&tree.encode());
    (*layer.as_bytes(), row.into_bytes())
}
