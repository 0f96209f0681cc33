//! Base images: their layers as trees, each made once and kept under its chain id.
//!
//! Downloads run ahead of unpacking, a bounded number at a time. Compressed blobs stay in the store, so that an export
//! writes the same bytes that came.

use std::sync::Arc;

use farm_model::result::LayerRef;
use farm_model::{OciDigest, Reference};
use farm_store::Store;
use farm_tree::Tree;
use farm_tree::merge::merge;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::compression::{Cancel, Limits};
use crate::registry::{Client, PARALLEL_DOWNLOADS};
use crate::resolved::{LayerDescriptor, Resolved};
use crate::unpack::unpack_layer;
use crate::{Error, Layout};

/// Where the blobs of an image are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a repository of a registry.
    Registry {
        /// How it is reached.
        client: Arc<Client>,
        /// The repository; tag and digest do not matter.
        reference: Reference,
    },
    /// In a directory.
    Layout(Layout),
    /// In the store already.
    Stored,
}

/// What happens while an image is pulled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// So many compressed bytes of the layer have arrived.
    Received {
        /// Which layer, from below.
        layer: usize,
        /// Bytes so far.
        bytes: u64,
    },
    /// The layer is unpacked and in the store.
    Unpacked {
        /// Which layer, from below.
        layer: usize,
    },
}

/// Is told of progress; called from several tasks.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// A base image in the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pulled {
    /// Its layers, lowest first.
    pub layers: Vec<LayerRef>,
    /// The layers laid over each other.
    pub tree: Tree,
}

/// Brings all layers of `resolved` into the store as trees. A layer whose tree is there is neither fetched nor unpacked.
pub async fn pull_base(
    source: &Source,
    resolved: &Resolved,
    store: &Store,
    limits: &Limits,
    on_progress: &OnProgress,
) -> Result<Pulled, Error> {
    let chain = resolved.chain_ids();
    let known = known_layers(store, &chain).await?;
    let missing = resolved.layers.iter().enumerate().filter(|(at, _)| known[*at].is_none());
    let mut downloads = Downloads::start(source, missing, store, on_progress);
    let cancel = Cancel::default();
    let _guard = cancel.guard();
    let mut pulled = Pulled { layers: Vec::new(), tree: Tree::empty() };
    for (at, (layer, chain_id)) in resolved.layers.iter().zip(chain).enumerate() {
        let job = Job {
            what: format!("layer {} of `{}`", at + 1, resolved.reference),
            layer: layer.clone(),
            chain_id,
            below: pulled.tree.clone(),
            store: store.clone(),
            limits: limits.clone(),
            cancel: cancel.clone(),
        };
        let (layer, tree) = if let Some(layer) = known[at] {
            blocking(move || job.merge_known(layer)).await?
        } else {
            downloads.wait_for(at).await?;
            let done = blocking(move || job.unpack()).await?;
            on_progress(Progress::Unpacked { layer: at });
            done
        };
        pulled.layers.push(layer);
        pulled.tree = tree;
    }
    Ok(pulled)
}

/// Brings the compressed bytes of `layers` into the store, for an export, where they are not kept. One that cannot be had
/// does not keep the others from coming.
pub async fn fetch_layers(source: &Source, layers: &[LayerDescriptor], store: &Store) -> Result<(), Error> {
    let quiet: OnProgress = Arc::new(|_| ());
    let mut downloads = Downloads::start(source, layers.iter().enumerate(), store, &quiet);
    let mut fetched = Ok(());
    for at in 0..layers.len() {
        let result = downloads.wait_for(at).await;
        fetched = fetched.and(result);
    }
    fetched
}

/// The layers of `chain` whose trees and bytes are here.
async fn known_layers(store: &Store, chain: &[OciDigest]) -> Result<Vec<Option<LayerRef>>, Error> {
    let (store, chain) = (store.clone(), chain.to_vec());
    blocking(move || {
        let known = |chain_id: &OciDigest| -> Result<_, Error> {
            let Some(layer) = store.base_layer(chain_id)? else {
                return Ok(None);
            };
            Ok(store.is_complete(&layer.digest)?.then_some(layer))
        };
        chain.iter().map(known).collect()
    })
    .await
}

/// One layer to be made into a tree.
struct Job {
    what: String,
    layer: LayerDescriptor,
    chain_id: OciDigest,
    below: Tree,
    store: Store,
    limits: Limits,
    cancel: Cancel,
}

impl Job {
    fn merge_known(&self, layer: LayerRef) -> Result<(LayerRef, Tree), Error> {
        let tree = self.store.tree(&layer.digest)?.ok_or(Error::MissingLayer(layer.digest))?;
        Ok((layer, merge(&self.store, &self.below, &tree)?))
    }

    fn unpack(&self) -> Result<(LayerRef, Tree), Error> {
        let digest = self.layer.descriptor.digest;
        let path = self.store.oci_blob_path(&digest)?.ok_or(Error::MissingBaseBlob(digest))?;
        let file = std::fs::File::open(&path).map_err(Error::io("read", &path))?;
        let (layer, tree) = unpack_layer(
            file,
            &self.what,
            self.layer.diff_id,
            &self.below,
            &self.store,
            &self.limits,
            self.cancel.clone(),
        )?;
        self.store.put_base_layer(&self.chain_id, &layer)?;
        Ok((layer, merge(&self.store, &self.below, &tree)?))
    }
}

/// Transfers that run ahead, in the order in which they are needed. Dropping it ends them.
struct Downloads {
    tasks: JoinSet<()>,
    results: std::collections::BTreeMap<usize, oneshot::Receiver<Result<(), Error>>>,
}

impl Downloads {
    fn start<'a>(
        source: &Source,
        layers: impl Iterator<Item = (usize, &'a LayerDescriptor)>,
        store: &Store,
        on_progress: &OnProgress,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(PARALLEL_DOWNLOADS));
        let mut tasks = JoinSet::new();
        let mut results = std::collections::BTreeMap::new();
        for (at, layer) in layers {
            let (sender, receiver) = oneshot::channel();
            results.insert(at, receiver);
            let (source, layer, store) = (source.clone(), layer.clone(), store.clone());
            let (permits, on_progress) = (Arc::clone(&permits), Arc::clone(on_progress));
            tasks.spawn(async move {
                let permit = permits.acquire_owned().await;
                let arrived = move |bytes| on_progress(Progress::Received { layer: at, bytes });
                let result = source.fetch(&layer, &store, &arrived).await;
                drop(permit);
                // Nobody waits any more when an earlier layer failed.
                let _ = sender.send(result);
            });
        }
        Self { tasks, results }
    }

    async fn wait_for(&mut self, at: usize) -> Result<(), Error> {
        // Whoever is done is forgotten, so that the set does not grow.
        while self.tasks.try_join_next().is_some() {}
        match self.results.remove(&at) {
            None => Ok(()),
            Some(result) => result.await.map_err(|_| Error::Cancelled)?,
        }
    }
}

impl Source {
    async fn fetch(
        &self,
        layer: &LayerDescriptor,
        store: &Store,
        received: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        match self {
            Self::Registry { client, reference } => {
                client.fetch_blob(reference, &layer.descriptor, store, received).await
            }
            Self::Stored => {
                let digest = layer.descriptor.digest;
                store.has_oci_blob(&digest)?.map(drop).ok_or(Error::MissingBaseBlob(digest))
            }
            Self::Layout(layout) => {
                let (layout, store, descriptor) = (layout.clone(), store.clone(), layer.descriptor.clone());
                blocking(move || {
                    if store.has_oci_blob(&descriptor.digest)?.is_some() {
                        return Ok(());
                    }
                    let mut file = layout.open_blob(&descriptor.digest)?;
                    store.ingest_oci_blob(&mut file, &descriptor.digest, descriptor.size)?;
                    Ok(())
                })
                .await
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Cancelled)?
}
