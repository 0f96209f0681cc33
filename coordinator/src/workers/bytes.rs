//! Bytes that the coordinator needs itself, and where they can be had.
//!
//! A layer that a remote worker made is *located*: its tree is here, its bytes are there. It is a result like any other as
//! long as a live worker holds it; a copy of it is brought here in the background, so that the loss of one worker loses
//! nothing. What turns out to be nowhere is [`Error::LayerLost`], and whoever made it has to run again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farm_model::{BlobDigest, LayerDigest};
use farm_store::Store;
use farm_tree::Tree;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Workers;
use crate::Error;
use crate::build::{Farm, blocking};

/// For how long after the start of the coordinator a layer is waited for whose worker may be on its way back.
const GRACE: Duration = Duration::from_secs(5);

impl Farm {
    /// Whether the bytes of `layer` can be found: here, or on a worker. Shortly after the start workers may come back.
    pub(crate) async fn is_available(&self, layer: &LayerDigest) -> Result<bool, Error> {
        let (store, wanted) = (self.store.clone(), *layer);
        if blocking(move || Ok(store.is_complete(&wanted)?)).await? {
            return Ok(true);
        }
        let held = self.dispatch.workers().comes_to_hold(layer).await;
        if held {
            self.dispatch.replicate(*layer);
        }
        Ok(held)
    }

    /// Has `layers` complete here.
    pub(crate) async fn ensure_layers(&self, layers: &[LayerDigest]) -> Result<(), Error> {
        let missing = self.incomplete(layers).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let workers = self.dispatch.workers();
        let lost = farm_exchange::layers(&self.store, &missing, &workers.sources(&missing)).await?;
        if lost.is_empty() {
            return Ok(());
        }
        workers.disbelieve(&lost);
        Err(Error::LayerLost(lost))
    }

    /// Has `blobs` here, which are part of `layers`.
    pub(crate) async fn ensure_blobs(
        &self,
        blobs: Vec<BlobDigest>,
        layers: &[LayerDigest],
    ) -> Result<(), Error> {
        if blobs.is_empty() {
            return Ok(());
        }
        let workers = self.dispatch.workers();
        let lost = farm_exchange::blobs(&self.store, blobs, &workers.sources(layers)).await?;
        if lost.is_empty() {
            return Ok(());
        }
        let incomplete = self.incomplete(layers).await?;
        workers.disbelieve(&incomplete);
        Err(Error::LayerLost(incomplete))
    }

    /// Has every file of `tree` here, which was taken from `layers`.
    pub(crate) async fn ensure_files(&self, tree: &Tree, layers: &[LayerDigest]) -> Result<(), Error> {
        let (store, tree) = (self.store.clone(), tree.clone());
        let missing = blocking(move || Ok(store.missing_blobs(&tree)?)).await?;
        self.ensure_blobs(missing, layers).await
    }

    async fn incomplete(&self, layers: &[LayerDigest]) -> Result<Vec<LayerDigest>, Error> {
        let (store, layers) = (self.store.clone(), layers.to_vec());
        blocking(move || {
            let mut incomplete = Vec::new();
            for layer in layers {
                if !store.is_complete(&layer)? {
                    incomplete.push(layer);
                }
            }
            Ok(incomplete)
        })
        .await
    }
}

impl Workers {
    /// Whether a worker holds `layer`, or comes back in time and does.
    async fn comes_to_hold(&self, layer: &LayerDigest) -> bool {
        // Whose only worker shares the store waits for nobody.
        let grace = if self.here.load(Ordering::Relaxed) { Duration::ZERO } else { GRACE };
        let until = self.born + grace;
        let mut changes = self.watch_holdings();
        loop {
            if self.holds(layer) {
                return true;
            }
            if Instant::now() >= until || !matches!(timeout_at(until, changes.changed()).await, Ok(Ok(()))) {
                return self.holds(layer);
            }
        }
    }
}

/// Brings layers that only workers hold here, one after the other, while it is polled.
pub(crate) struct Replicator {
    store: Store,
    workers: Arc<Workers>,
    wanted: mpsc::Receiver<LayerDigest>,
}

impl Replicator {
    pub(crate) fn new(store: Store, workers: Arc<Workers>, wanted: mpsc::Receiver<LayerDigest>) -> Self {
        Self { store, workers, wanted }
    }

    pub(crate) async fn run(mut self) {
        while let Some(layer) = self.wanted.recv().await {
            let _work = self.store.begin();
            let brought = farm_exchange::layers(&self.store, &[layer], &self.workers.sources(&[layer])).await;
            match brought {
                Ok(missing) if missing.is_empty() => {}
                Ok(_) => tracing::debug!(%layer, "a layer stays with its worker for now"),
                Err(error) => tracing::warn!(%layer, %error, "cannot copy a layer from its worker"),
            }
        }
    }
}
