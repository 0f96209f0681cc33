//! What was computed of layers before: a merge gives the same tree each time, and a layer keeps its size.
//!
//! In memory only, and bounded: what is forgotten is computed again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farm_model::LayerDigest;
use farm_model::result::LayerRef;
use farm_store::Store;
use farm_tree::{Tree, merge};

use crate::Error;

/// How many results of either kind are remembered.
const MOST: usize = 16_384;

/// Results of computations on layers.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    merged: Mutex<HashMap<(LayerDigest, LayerDigest), Tree>>,
    bytes: Mutex<HashMap<LayerDigest, u64>>,
}

impl Memo {
    /// The merged tree of `below` under `layer`, if it was kept before and still is. Reads one row: may be called anywhere.
    pub(crate) fn known(&self, store: &Store, below: &Tree, layer: &LayerRef) -> Option<Tree> {
        let known = lock(&self.merged).get(&(below.layer_ref().digest, layer.digest)).cloned()?;
        let kept = store.tree(&known.layer_ref().digest).ok().flatten();
        kept.is_some().then_some(known)
    }

    /// The merged tree of `below` under `layer`; kept in the store. Blocks.
    pub(crate) fn lay(&self, store: &Store, below: &Tree, layer: &LayerRef) -> Result<Tree, Error> {
        if let Some(known) = self.known(store, below, layer) {
            return Ok(known);
        }
        let tree = layer_tree(store, layer)?;
        remember(&self.bytes, layer.digest, tree.root.record.bytes);
        let merged = merge::merge(store, below, &tree)?;
        store.put_tree(&merged)?;
        remember(&self.merged, (below.layer_ref().digest, layer.digest), merged.clone());
        Ok(merged)
    }

    /// Unpacked bytes of a layer; nothing when it is not known.
    pub(crate) fn bytes(&self, store: &Store, layer: &LayerDigest) -> u64 {
        if let Some(bytes) = lock(&self.bytes).get(layer) {
            return *bytes;
        }
        let Ok(Some(tree)) = store.tree(layer) else { return 0 };
        let bytes = tree.root.record.bytes;
        remember(&self.bytes, *layer, bytes);
        bytes
    }
}

fn remember<K: Eq + Hash, V>(map: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut map = lock(map);
    if map.len() >= MOST {
        map.clear();
    }
    map.insert(key, value);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layer_tree(store: &Store, layer: &LayerRef) -> Result<Tree, Error> {
    let missing = || Error::from(farm_tree::Error::NotFound(format!("layer {}", layer.digest)));
    store.tree(&layer.digest)?.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use farm_tree::{File, Metadata, Mtime, Node, TreeBuilder};

    use super::*;

    #[test]
    fn a_merge_is_remembered_while_its_tree_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let blob = store.ingest(&mut b"1".as_slice(), None).unwrap();
        let mut layer = TreeBuilder::default();
        let file = File { metadata: Metadata::plain(0o644, Mtime(1)), blob, hard_link: None };
        layer.insert(b"a", Node::File(file)).unwrap();
        let layer = layer.finish(&store).unwrap();
        let layer = store.put_tree(&layer).unwrap();
        let memo = Memo::default();
        assert!(memo.known(&store, &Tree::empty(), &layer).is_none());
        let merged = memo.lay(&store, &Tree::empty(), &layer).unwrap();
        assert_eq!(memo.known(&store, &Tree::empty(), &layer), Some(merged));
        assert_eq!(memo.bytes(&store, &layer.digest), 1);
    }
}
