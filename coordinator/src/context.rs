//! Local contexts of a build: scanned when first needed, their bytes taken only for what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use farm_model::op::{MountKind, Op, Origin, Source};
use farm_model::{BlobDigest, BuildGraph, ContextName};
use farm_store::Store;
use farm_tree::{Entries, Entry, MemoryRecords, Node, Records as _, Tree};
use tokio::sync::Mutex;

use crate::build::{Farm, blocking};
use crate::{Error, Session};

/// How often a context is scanned again because a file changed while it was read.
const RESCANS: usize = 3;

/// The contexts of one build.
#[derive(Debug)]
pub(crate) struct Contexts {
    session: Session,
    /// What the graph reads of each context, as paths below its root without wildcards.
    paths: BTreeMap<ContextName, Vec<String>>,
    scanned: Mutex<BTreeMap<ContextName, Tree>>,
}

impl Contexts {
    pub(crate) fn new(session: Session, graph: &BuildGraph) -> Self {
        Self { session, paths: wanted_paths(graph), scanned: Mutex::default() }
    }

    /// The tree of a context; scanned once.
    pub(crate) async fn tree(&self, farm: &Farm, context: &ContextName) -> Result<Tree, Error> {
        let mut scanned = self.scanned.lock().await;
        if let Some(tree) = scanned.get(context) {
            return Ok(tree.clone());
        }
        let paths = self.paths.get(context).cloned().unwrap_or_else(|| vec![String::new()]);
        let scan = self.session.scan(context, paths).await?;
        let store = farm.store.clone();
        let tree = blocking(move || {
            transfer(&scan.records, &store, &scan.tree)?;
            Ok(scan.tree)
        })
        .await?;
        scanned.insert(context.clone(), tree.clone());
        Ok(tree)
    }

    /// Brings the bytes of `tree`, whose files come from `context`, into the store. False when a file changed since the scan:
    /// the context is then forgotten, and what was computed from it has to be computed again.
    pub(crate) async fn ingest(
        &self,
        farm: &Farm,
        context: &ContextName,
        tree: &Tree,
    ) -> Result<Ingest, Error> {
        let (store, wanted) = (farm.store.clone(), tree.clone());
        let missing = blocking(move || Ok(store.missing_blobs(&wanted)?)).await?;
        if missing.is_empty() { Ok(Ingest::Complete) } else { self.take(farm, context, missing).await }
    }

    /// Brings `blobs` into the store, as [`Contexts::ingest`] does.
    pub(crate) async fn take(
        &self,
        farm: &Farm,
        context: &ContextName,
        blobs: Vec<BlobDigest>,
    ) -> Result<Ingest, Error> {
        let store = farm.store.clone();
        let missing = blocking(move || {
            let mut missing = Vec::new();
            for blob in blobs {
                if !store.contains(&blob)? {
                    missing.push(blob);
                }
            }
            Ok(missing)
        })
        .await?;
        if missing.is_empty() {
            return Ok(Ingest::Complete);
        }
        let located = self.session.locate(context, missing.clone()).await?;
        let store = farm.store.clone();
        let changed = blocking(move || {
            for blob in &missing {
                let Some(path) = located.get(blob) else { return Err(Error::ContentGone(*blob)) };
                let taken = File::open(path).map(|mut file| store.ingest_expected(&mut file, blob));
                match taken {
                    Ok(Ok(())) => {}
                    Ok(Err(farm_store::Error::Mismatch { .. })) | Err(_) => return Ok(true),
                    Ok(Err(error)) => return Err(error.into()),
                }
            }
            Ok(false)
        })
        .await?;
        if changed {
            self.scanned.lock().await.remove(context);
            return Ok(Ingest::Changed);
        }
        Ok(Ingest::Complete)
    }

    /// The session behind the contexts.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }
}

/// How taking the bytes of a tree ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ingest {
    Complete,
    Changed,
}

/// Counts the attempts to read a context that changes.
#[derive(Debug)]
pub(crate) struct Attempts {
    left: usize,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self { left: RESCANS }
    }

    /// Allows one more attempt, or says that there were enough.
    pub(crate) fn again(&mut self, context: &ContextName) -> Result<(), Error> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::ContextChanges(context.clone()))?;
        Ok(())
    }
}

/// Copies the records of `tree`, each once.
fn transfer(from: &MemoryRecords, to: &Store, tree: &Tree) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let mut pending = vec![tree.root.record.digest];
    while let Some(digest) = pending.pop() {
        if !seen.insert(digest) || to.has_record(&digest)? {
            continue;
        }
        let entries = from.entries(digest)?;
        pending.extend(entries.values().filter_map(|entry| match entry {
            Entry::Node(Node::Directory(directory)) => Some(directory.record.digest),
            Entry::Node(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout => None,
        }));
        to.put(Entries::clone(&entries))?;
    }
    Ok(())
}

fn wanted_paths(graph: &BuildGraph) -> BTreeMap<ContextName, Vec<String>> {
    let mut wanted: BTreeMap<ContextName, BTreeSet<String>> = BTreeMap::new();
    let mut want = |origin: &Origin, path: &str| {
        if let Origin::Context(context) = origin {
            wanted.entry(context.clone()).or_default().insert(fixed_prefix(path));
        }
    };
    for step in graph.stages.iter().flat_map(|stage| &stage.steps) {
        match &step.op {
            Op::Copy(copy) => {
                for source in &copy.sources {
                    if let Source::Path(path) = source {
                        want(&copy.from, path);
                    }
                }
            }
            Op::Run(run) => {
                for mount in &run.mounts {
                    match &mount.kind {
                        MountKind::Bind { from, source, .. } => want(from, source),
                        MountKind::Cache { from: Some(from), source, .. } => want(from, source),
                        MountKind::Cache { .. }
                        | MountKind::Tmpfs { .. }
                        | MountKind::Secret { .. }
                        | MountKind::Ssh { .. } => {}
                    }
                }
            }
            Op::Metadata | Op::Workdir(_) => {}
        }
    }
    for stage in &graph.stages {
        if let farm_model::Base::Context(context) = &stage.base {
            wanted.entry(context.clone()).or_default().insert(String::new());
        }
    }
    wanted.into_iter().map(|(context, paths)| (context, paths.into_iter().collect())).collect()
}

/// The components of a path before the first one that holds a wildcard.
fn fixed_prefix(path: &str) -> String {
    let fixed = path.split('/').take_while(|component| !component.contains(['*', '?', '[', '\\']));
    fixed.filter(|component| !component.is_empty() && *component != ".").collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_ends_the_part_of_a_path_that_is_known() {
        assert_eq!(fixed_prefix("./a/b*/c"), "a");
        assert_eq!(fixed_prefix("*.txt"), "");
        assert_eq!(fixed_prefix("/a/b"), "a/b");
        assert_eq!(fixed_prefix("."), "");
    }
}
