//! Merged trees of stacks of layers, computed here rather than fetched: the layers' own trees are needed anyway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use farm_model::LayerDigest;
use farm_model::result::LayerRef;
use farm_store::Store;
use farm_tree::Tree;

use crate::error::Error;

/// Stacks whose merged trees are remembered. A tree is only its root here.
const MOST_STACKS: usize = 1024;

/// Remembers the merged trees of stacks, so that a stack with one more layer costs that layer.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    known: Mutex<HashMap<Stack, Tree>>,
}

/// Names a stack by its layers.
type Stack = [u8; 32];

impl Merged {
    /// Has the merged tree of `layers` in the store if it is the one called `merged`. Says whether it was.
    pub(crate) fn provide(
        &self,
        store: &Store,
        layers: &[LayerRef],
        merged: &LayerDigest,
    ) -> Result<bool, Error> {
        if store.tree(merged)?.is_some() {
            return Ok(true);
        }
        let stacks = stacks(layers);
        let (height, mut tree) = self.highest(&stacks);
        for (layer, stack) in layers.iter().zip(&stacks).skip(height) {
            let above = store.tree(&layer.digest)?.ok_or(Error::LayerGone(layer.digest))?;
            tree = farm_tree::merge(store, &tree, &above)?;
            self.remember(*stack, &tree);
        }
        if tree.layer_digest() != *merged {
            return Ok(false);
        }
        store.put_tree(&tree)?;
        Ok(true)
    }

    /// The highest stack that is known, and its merged tree.
    fn highest(&self, stacks: &[Stack]) -> (usize, Tree) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heights = (1..=stacks.len()).rev();
        heights
            .find_map(|height| Some((height, known.get(&stacks[height - 1])?.clone())))
            .unwrap_or_else(|| (0, Tree::empty()))
    }

    fn remember(&self, stack: Stack, tree: &Tree) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_STACKS {
            known.clear();
        }
        known.insert(stack, tree.clone());
    }
}

/// The names of all stacks that begin as `layers` do, the lowest layer's first.
fn stacks(layers: &[LayerRef]) -> Vec<Stack> {
    let mut hasher = blake3::Hasher::new();
    let grow = |layer: &LayerRef| *hasher.update(layer.digest.as_bytes()).finalize().as_bytes();
    layers.iter().map(grow).collect()
}

#[cfg(test)]
mod tests {
    use farm_tree::{Directory, Metadata, Mtime, Node, TreeBuilder};

    use super::*;

    fn layer(store: &Store, path: &str) -> (LayerRef, Tree) {
        let mut builder = TreeBuilder::default();
        let directory = Directory::empty(Metadata::plain(0o755, Mtime(1)));
        builder.insert(path.as_bytes(), Node::Directory(directory)).unwrap();
        let tree = builder.finish(store).unwrap();
        (store.put_tree(&tree).unwrap(), tree)
    }

    #[test]
    fn a_stack_is_merged_once_and_one_of_another_name_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let layers: Vec<_> = ["a", "b/c", "b/d"].map(|path| layer(&store, path)).into();
        let refs: Vec<LayerRef> = layers.iter().map(|(layer, _)| *layer).collect();
        let expected = farm_tree::merge_all(&store, layers.iter().map(|(_, tree)| tree)).unwrap();
        let merged = Merged::default();
        assert!(!merged.provide(&store, &refs, &LayerDigest([9; 32])).unwrap());
        assert_eq!(merged.highest(&stacks(&refs)), (3, expected.clone()));
        assert!(merged.provide(&store, &refs, &expected.layer_digest()).unwrap());
        assert_eq!(store.tree(&expected.layer_digest()).unwrap(), Some(expected));
        let (more, _) = self::layer(&store, "e");
        assert_eq!(merged.highest(&stacks(&[refs.as_slice(), &[more]].concat())).0, 3);
    }
}
