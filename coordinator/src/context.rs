//! Local contexts of a build: scanned when first needed, their bytes taken only for what is missing.
//!
//! A step computes with the tree that a scan gave and hands that tree in again when it asks for bytes: when a file turns out
//! to have changed, only a scan that is not newer is forgotten, and the step starts over.

mod intake;
mod wanted;

use std::collections::BTreeMap;

use farm_model::{BlobDigest, BuildGraph, ContextName};
use farm_tree::Tree;
use tokio::sync::Mutex;

use crate::build::{Farm, blocking};
use crate::{Error, Session};

/// How often a context is scanned again because a file changed while it was read.
const RESCANS: usize = 3;

/// The contexts of one build.
#[derive(Debug)]
pub(crate) struct Contexts {
    session: Session,
    contexts: BTreeMap<ContextName, Context>,
}

/// One of them.
#[derive(Debug)]
struct Context {
    /// What the graph reads of it.
    paths: Vec<String>,
    /// Held while it is scanned.
    scanned: Mutex<Option<Tree>>,
}

impl Contexts {
    pub(crate) fn new(session: Session, graph: &BuildGraph) -> Self {
        let context = |(name, paths)| (name, Context { paths, scanned: Mutex::default() });
        Self { session, contexts: wanted::wanted_paths(graph).into_iter().map(context).collect() }
    }

    /// The tree of a context; scanned once.
    pub(crate) async fn tree(&self, farm: &Farm, name: &ContextName) -> Result<Tree, Error> {
        let context = self.context(name)?;
        let mut scanned = context.scanned.lock().await;
        if let Some(tree) = &*scanned {
            return Ok(tree.clone());
        }
        let scan = self.session.scan(name, context.paths.clone()).await?;
        let store = farm.store.clone();
        let tree = blocking(move || {
            intake::transfer(&scan.records, &store, &scan.tree)?;
            Ok(scan.tree)
        })
        .await?;
        *scanned = Some(tree.clone());
        Ok(tree)
    }

    /// Brings the bytes of `tree`, whose files come from the context `name` as it was `seen`, into the store. When a file
    /// has changed since, what was computed from the context has to be computed again.
    pub(crate) async fn ingest(
        &self,
        farm: &Farm,
        name: &ContextName,
        seen: &Tree,
        tree: &Tree,
    ) -> Result<Ingest, Error> {
        let (store, wanted) = (farm.store.clone(), tree.clone());
        let missing = blocking(move || Ok(store.missing_blobs(&wanted)?)).await?;
        self.take_missing(farm, name, seen, missing).await
    }

    /// Brings `blobs` into the store, as [`Contexts::ingest`] does.
    pub(crate) async fn take(
        &self,
        farm: &Farm,
        name: &ContextName,
        seen: &Tree,
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
        self.take_missing(farm, name, seen, missing).await
    }

    async fn take_missing(
        &self,
        farm: &Farm,
        name: &ContextName,
        seen: &Tree,
        missing: Vec<BlobDigest>,
    ) -> Result<Ingest, Error> {
        if missing.is_empty() {
            return Ok(Ingest::Complete);
        }
        let located = self.session.locate(name, missing.clone()).await?;
        let store = farm.store.clone();
        let taken = blocking(move || intake::take_all(&store, &missing, &located)).await?;
        if taken == Ingest::Changed {
            let mut scanned = self.context(name)?.scanned.lock().await;
            // Another step may have had it scanned again already.
            if scanned.as_ref() == Some(seen) {
                *scanned = None;
            }
        }
        Ok(taken)
    }

    /// The session behind the contexts.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    fn context(&self, name: &ContextName) -> Result<&Context, Error> {
        self.contexts.get(name).ok_or_else(|| Error::NotPlanned(format!("context `{name}`")))
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

    /// Whether nothing has changed yet.
    pub(crate) fn is_first(&self) -> bool {
        self.left == RESCANS
    }

    /// Allows one more attempt, or says that there were enough.
    pub(crate) fn again(&mut self, context: &ContextName) -> Result<(), Error> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::ContextChanges(context.clone()))?;
        Ok(())
    }
}
