//! Local contexts of a build: scanned when first needed, their bytes taken only for what is missing.
//!
//! A step computes with the tree that a scan gave and hands that tree in again when it asks for bytes: when a file turns out
//! to have changed, only a scan that is not newer is forgotten, and the step starts over.

mod intake;
mod records;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use farm_model::{BlobDigest, BuildEvent, BuildGraph, ContextName};
use farm_tree::Tree;
use tokio::sync::Mutex;

use crate::build::{Farm, Paths, blocking};
use crate::report::{Reporter, micros_since};
use crate::{Error, Session};

/// How often a context is scanned again because a file changed while it was read.
const RESCANS: usize = 3;

/// The contexts of one build; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Contexts {
    session: Session,
    reporter: Reporter,
    by_name: Arc<BTreeMap<ContextName, Context>>,
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
    pub(crate) fn new(session: Session, reporter: Reporter, graph: &BuildGraph) -> Self {
        let context = |(name, paths)| (name, Context { paths, scanned: Mutex::default() });
        let contexts = wanted::wanted_paths(graph).into_iter().map(context).collect();
        Self { session, reporter, by_name: Arc::new(contexts) }
    }

    /// The tree of a context; scanned once.
    pub(crate) async fn tree(&self, farm: &Farm, name: &ContextName) -> Result<Tree, Error> {
        let context = self.context(name)?;
        let mut scanned = context.scanned.lock().await;
        if let Some(tree) = &*scanned {
            return Ok(tree.clone());
        }
        let mut attempts = Attempts::new();
        let tree = loop {
            let started = Instant::now();
            let scan = self.session.scan(name, context.paths.clone()).await?;
            let brought = records::bring(&self.session, &farm.store, name, &scan.tree).await?;
            let (context, micros) = (name.to_string(), micros_since(started));
            let (files, bytes) = (scan.files, scan.bytes);
            self.reporter.send(BuildEvent::ContextScanned { context, files, bytes, micros }).await;
            if brought == Ingest::Complete {
                break scan.tree;
            }
            attempts.again(name)?;
        };
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
        let started = Instant::now();
        let bytes = missing.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        let taken = match self.session.paths() {
            Paths::Honoured => {
                let located = self.session.locate(name, &missing).await?;
                let store = farm.store.clone();
                blocking(move || intake::take_all(&store, &missing, &located)).await?
            }
            Paths::Refused => {
                let absent = self.session.blobs(&farm.store, name, &missing).await?;
                if absent.is_empty() { Ingest::Complete } else { Ingest::Changed }
            }
        };
        if taken == Ingest::Changed {
            let mut scanned = self.context(name)?.scanned.lock().await;
            // Another step may have had it scanned again already.
            if scanned.as_ref() == Some(seen) {
                *scanned = None;
            }
            return Ok(taken);
        }
        let (context, micros) = (name.to_string(), micros_since(started));
        self.reporter.send(BuildEvent::ContextTaken { context, bytes, micros }).await;
        Ok(taken)
    }

    /// The session behind the contexts.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    fn context(&self, name: &ContextName) -> Result<&Context, Error> {
        self.by_name.get(name).ok_or_else(|| Error::NotPlanned(format!("context `{name}`")))
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
