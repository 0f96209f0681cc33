//! Has layers complete in a store: first trees, then the records that are missing, level by level, then the bytes.

use std::collections::HashSet;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use farm_model::{BlobDigest, DirectoryDigest, LayerDigest};
use farm_store::Store;
use farm_tree::{DirectoryRef, Entry, Node, Records as _, Tree};

use crate::ask::ask;
use crate::error::apart;
use crate::keep::{Keep, Kept, keep_blob, keep_record, whole};
use crate::{Error, MOST_RECORD_BYTES, Source};

/// What bringing layers came to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Brought {
    /// Layers that are still incomplete: no source had all of them.
    pub missing: Vec<LayerDigest>,
    /// Layers that were incomplete before and are complete now.
    pub completed: Vec<LayerDigest>,
    /// Bytes that arrived for them.
    pub bytes: u64,
}

/// Brings what `layers` lack in `store` from the first of `from` that has it; returns those that are still incomplete.
pub async fn layers(
    store: &Store,
    layers: &[LayerDigest],
    from: &[Source],
) -> Result<Vec<LayerDigest>, Error> {
    Ok(bring(store, layers, from).await?.missing)
}

/// As [`layers`], and says more of what happened.
pub async fn bring(store: &Store, layers: &[LayerDigest], from: &[Source]) -> Result<Brought, Error> {
    let incomplete = incomplete(store, layers.to_vec()).await?;
    if incomplete.is_empty() {
        return Ok(Brought::default());
    }
    let (_, arrived) = whole_trees(store, &incomplete, from).await?;
    let (own, known) = (store.clone(), incomplete.clone());
    let wanted = apart(move || missing_blobs(&own, &known)).await?;
    let answered = ask(wanted, &keep_blob(store), from).await?;
    let missing = self::incomplete(store, incomplete.clone()).await?;
    let still: HashSet<&LayerDigest> = missing.iter().collect();
    let completed = incomplete.iter().filter(|layer| !still.contains(layer)).copied().collect();
    Ok(Brought { completed, bytes: arrived + answered.bytes, missing })
}

/// Brings trees with all their records, without bytes of files; returns those that could not be had.
pub async fn trees(
    store: &Store,
    layers: &[LayerDigest],
    from: &[Source],
) -> Result<Vec<LayerDigest>, Error> {
    Ok(whole_trees(store, layers, from).await?.0)
}

/// Brings contents; returns those that could not be had.
pub async fn blobs(
    store: &Store,
    wanted: Vec<BlobDigest>,
    from: &[Source],
) -> Result<Vec<BlobDigest>, Error> {
    let own = store.clone();
    let wanted = apart(move || {
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for blob in wanted {
            if seen.insert(blob) && !own.contains(&blob)? {
                missing.push(blob);
            }
        }
        Ok(missing)
    });
    Ok(ask(wanted.await?, &keep_blob(store), from).await?.missing)
}

async fn incomplete(store: &Store, layers: Vec<LayerDigest>) -> Result<Vec<LayerDigest>, Error> {
    let store = store.clone();
    apart(move || {
        let mut seen = HashSet::new();
        let mut incomplete = Vec::new();
        for layer in layers {
            if seen.insert(layer) && !store.is_complete(&layer)? {
                incomplete.push(layer);
            }
        }
        Ok(incomplete)
    })
    .await
}

/// The contents that are missing of those of `layers` whose trees are here.
fn missing_blobs(store: &Store, layers: &[LayerDigest]) -> Result<Vec<BlobDigest>, Error> {
    let mut seen = HashSet::new();
    let mut wanted = Vec::new();
    for layer in layers {
        let Some(tree) = store.tree(layer)? else { continue };
        match store.missing_blobs(&tree) {
            Ok(missing) => wanted.extend(missing.into_iter().filter(|blob| seen.insert(*blob))),
            Err(farm_store::Error::Tree(farm_tree::Error::MissingRecord(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(wanted)
}

/// Brings trees and their records; returns what could not be had, and the bytes that arrived.
async fn whole_trees(
    store: &Store,
    layers: &[LayerDigest],
    from: &[Source],
) -> Result<(Vec<LayerDigest>, u64), Error> {
    let found: Arc<Mutex<Vec<(LayerDigest, Tree)>>> = Arc::default();
    let (own, known, names) = (store.clone(), Arc::clone(&found), layers.to_vec());
    let unknown = apart(move || {
        let mut unknown = Vec::new();
        for layer in names {
            match own.tree(&layer)? {
                Some(tree) => lock(&known).push((layer, tree)),
                None => unknown.push(layer),
            }
        }
        Ok(unknown)
    });
    let answered = ask(unknown.await?, &keep_tree(&found), from).await?;
    let found = std::mem::take(&mut *lock(&found));
    let bytes = answered.bytes + records(store, &found, from).await?;
    let (own, mut missing) = (store.clone(), answered.missing);
    let lacking = apart(move || {
        let mut lacking = Vec::new();
        for (layer, tree) in found {
            if !keep_whole_tree(&own, &layer, &tree)? {
                lacking.push(layer);
            }
        }
        Ok(lacking)
    });
    missing.extend(lacking.await?);
    Ok((missing, bytes))
}

/// Remembers trees that are what their names say. They go into the store once their records are there.
fn keep_tree(found: &Arc<Mutex<Vec<(LayerDigest, Tree)>>>) -> Keep<LayerDigest> {
    let found = Arc::clone(found);
    Arc::new(move |layer: &LayerDigest, size: u64, item: &mut dyn Read| {
        if size > MOST_RECORD_BYTES {
            return Ok(Kept::Absurd);
        }
        let tree = whole(item).and_then(|bytes| Tree::decode(&bytes).ok());
        let Some(tree) = tree.filter(|tree| tree.layer_digest() == *layer) else { return Ok(Kept::Corrupt) };
        lock(&found).push((*layer, tree));
        Ok(Kept::Good)
    })
}

/// Puts a tree into the store if all its records are there and it tells the truth about them.
fn keep_whole_tree(store: &Store, layer: &LayerDigest, tree: &Tree) -> Result<bool, Error> {
    match farm_tree::verify(store, tree) {
        Ok(()) => {
            store.put_tree(tree)?;
            Ok(true)
        }
        Err(farm_tree::Error::MissingRecord(_)) => Ok(false),
        Err(error) if matches!(error, farm_tree::Error::Store(_)) => Err(error.into()),
        Err(error) => {
            tracing::warn!(%layer, reason = %error, "a tree that no honest machine makes is refused");
            Ok(false)
        }
    }
}

/// Brings the records of `trees` that are missing, a level at a time; returns the bytes that arrived.
async fn records(store: &Store, trees: &[(LayerDigest, Tree)], from: &[Source]) -> Result<u64, Error> {
    let mut seen = HashSet::from([DirectoryRef::empty().digest]);
    let mut level: Vec<DirectoryDigest> = trees.iter().map(|(_, tree)| tree.root.record.digest).collect();
    let mut bytes = 0;
    // A tree that is deeper than any path is refused afterwards, so there is no use in asking for more of it.
    for _ in 0..=farm_tree::path::MAX_DEPTH {
        let own = store.clone();
        let missing;
        (missing, seen) = apart(move || descend(&own, level, seen)).await?;
        if missing.is_empty() || from.is_empty() {
            break;
        }
        let answered = ask(missing.clone(), &keep_record(store), from).await?;
        bytes += answered.bytes;
        let lost: HashSet<DirectoryDigest> = answered.missing.into_iter().collect();
        level = missing.into_iter().filter(|digest| !lost.contains(digest)).collect();
        for digest in &level {
            seen.remove(digest);
        }
    }
    Ok(bytes)
}

/// Goes down from `open` through what is in the store; returns the records at which that ends.
fn descend(
    store: &Store,
    mut open: Vec<DirectoryDigest>,
    mut seen: HashSet<DirectoryDigest>,
) -> Result<(Vec<DirectoryDigest>, HashSet<DirectoryDigest>), Error> {
    let mut missing = Vec::new();
    while let Some(digest) = open.pop() {
        if !seen.insert(digest) {
            continue;
        }
        match store.entries(digest) {
            Ok(entries) => open.extend(entries.values().filter_map(|entry| match entry {
                Entry::Node(Node::Directory(directory)) => Some(directory.record.digest),
                Entry::Node(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout => None,
            })),
            Err(farm_tree::Error::MissingRecord(_)) => missing.push(digest),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((missing, seen))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
