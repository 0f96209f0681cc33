//! Has everything that a task reads in the worker's own store before the task starts.
//!
//! Layers come from other workers first, then from the coordinator; of each only what is missing. A layer that several
//! steps lack at the same time is fetched by one of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farm_exchange::Source;
use farm_model::LayerDigest;
use farm_model::result::LayerRef;
use farm_proto::{Peer, RunTask, TaskMountKind};
use farm_store::Store;
use farm_transport::Connection;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::error::Error;
use crate::holdings::Holdings;
use crate::merged::Merged;
use crate::peers::Peers;

/// Fewer bytes than these say nothing about how fast they come.
const TELLING_BYTES: u64 = 1 << 20;
/// How long a fetch waits for a coordinator that is away.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a fetch is tried when sources go away in the middle.
const TRIES: usize = 3;

/// The connection to the coordinator, while there is one.
pub(crate) type Coordinator = watch::Receiver<Option<Connection>>;

/// Fetches what steps lack.
pub(crate) struct Provider {
    pub(crate) store: Store,
    pub(crate) peers: Peers,
    pub(crate) coordinator: Coordinator,
    pub(crate) holdings: Arc<Holdings>,
    pub(crate) merged: Arc<Merged>,
    pub(crate) fetching: Fetching,
}

/// Layers that are being fetched.
#[derive(Debug, Default)]
pub(crate) struct Fetching {
    layers: Mutex<BTreeSet<LayerDigest>>,
    done: Notify,
}

/// A claim on layers that are being fetched; given up on drop.
struct Claim<'a> {
    fetching: &'a Fetching,
    layers: Vec<LayerDigest>,
}

/// Who answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    /// What is missing still is missing everywhere.
    Everybody,
    /// It may have what is missing.
    NotTheCoordinator,
}

/// What was fetched for one task; of what several lack at the same time, it counts for the one that fetched it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl Provider {
    /// Has every layer and tree here that `task` names.
    pub(crate) async fn provide(&self, task: &RunTask, peers: &[Peer]) -> Result<Fetched, Error> {
        let mut fetched = Fetched::default();
        let lost = self.layers(layers(task), peers, &mut fetched).await?;
        if !lost.is_empty() {
            return Err(Error::Lost(lost));
        }
        self.merged_trees(task).await?;
        Ok(fetched)
    }

    /// Brings `wanted`; returns those that are nowhere to be had.
    async fn layers(
        &self,
        wanted: Vec<LayerDigest>,
        peers: &[Peer],
        fetched: &mut Fetched,
    ) -> Result<Vec<LayerDigest>, Error> {
        let (mut missing, mut nowhere) = (wanted, Vec::new());
        let mut tries = 0;
        loop {
            // Before the look into the store, so that what others complete after it is noticed.
            let done = self.fetching.done.notified();
            missing = self.incomplete(missing).await?;
            if missing.is_empty() {
                return Ok(nowhere);
            }
            let Some(claim) = self.fetching.claim(&missing) else {
                // Others fetch all of it.
                done.await;
                continue;
            };
            tries += 1;
            match self.fetch(&claim.layers, peers, fetched).await? {
                Heard::Everybody => {
                    let still = self.incomplete(claim.layers.clone()).await?;
                    missing.retain(|layer| !still.contains(layer));
                    nowhere.extend(still);
                }
                Heard::NotTheCoordinator if tries < TRIES => {}
                Heard::NotTheCoordinator => return Err(Error::CoordinatorAway(PATIENCE.as_secs())),
            }
        }
    }

    async fn incomplete(&self, layers: Vec<LayerDigest>) -> Result<Vec<LayerDigest>, Error> {
        let store = self.store.clone();
        apart(move || incomplete(&store, layers)).await
    }

    /// Fetches what it can.
    async fn fetch(
        &self,
        layers: &[LayerDigest],
        peers: &[Peer],
        fetched: &mut Fetched,
    ) -> Result<Heard, Error> {
        let start = Instant::now();
        let mut sources = self.peers.sources(peers).await;
        let coordinator = self.coordinator().await?;
        sources.push(Source::Coordinator(coordinator.clone()));
        let brought = farm_exchange::bring(&self.store, layers, &sources).await?;
        fetched.bytes = fetched.bytes.saturating_add(brought.bytes);
        fetched.took += start.elapsed();
        if brought.bytes >= TELLING_BYTES {
            self.holdings.measured(brought.bytes, start.elapsed());
        }
        self.holdings.came(brought.completed);
        Ok(if coordinator.is_closed() { Heard::NotTheCoordinator } else { Heard::Everybody })
    }

    async fn coordinator(&self) -> Result<Connection, Error> {
        let mut coordinator = self.coordinator.clone();
        let open =
            |connection: &Option<Connection>| connection.as_ref().is_some_and(|open| !open.is_closed());
        let found = timeout(PATIENCE, coordinator.wait_for(open)).await;
        let found = found.ok().and_then(Result::ok).and_then(|connection| connection.clone());
        found.ok_or(Error::CoordinatorAway(PATIENCE.as_secs()))
    }

    /// Has the merged trees of all stacks of `task` here.
    async fn merged_trees(&self, task: &RunTask) -> Result<(), Error> {
        let (store, merged) = (self.store.clone(), Arc::clone(&self.merged));
        let wanted: Vec<(Vec<LayerRef>, LayerDigest)> =
            stacks(task).into_iter().map(|(layers, merged)| (layers.to_vec(), merged.digest)).collect();
        let unlike = apart(move || {
            let mut unlike = Vec::new();
            for (layers, name) in wanted {
                if !merged.provide(&store, &layers, &name)? {
                    unlike.push(name);
                }
            }
            Ok(unlike)
        })
        .await?;
        if unlike.is_empty() {
            return Ok(());
        }
        // The coordinator merged in another way: its tree counts.
        let source = Source::Coordinator(self.coordinator().await?);
        let missing = farm_exchange::trees(&self.store, &unlike, &[source]).await?;
        missing.first().map_or(Ok(()), |merged| Err(Error::LayerGone(*merged)))
    }
}

impl Fetching {
    /// Claims those of `layers` that nobody fetches; none when all of them are being fetched.
    fn claim(&self, layers: &[LayerDigest]) -> Option<Claim<'_>> {
        let mut fetching = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let free = layers.iter().filter(|layer| fetching.insert(**layer)).copied().collect::<Vec<_>>();
        // Made only where it is given away: dropping it takes the lock that is held here.
        (!free.is_empty()).then(|| Claim { fetching: self, layers: free })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut fetching = self.fetching.layers.lock().unwrap_or_else(PoisonError::into_inner);
        for layer in &self.layers {
            fetching.remove(layer);
        }
        drop(fetching);
        self.fetching.done.notify_waiters();
    }
}

/// The stacks of layers that `task` reads, each with its merged tree.
fn stacks(task: &RunTask) -> Vec<(&[LayerRef], LayerRef)> {
    let mounted = task.mounts.iter().filter_map(|mount| match &mount.kind {
        TaskMountKind::Bind { layers, merged, .. } => Some((layers.as_slice(), *merged)),
        TaskMountKind::Cache(cache) => {
            cache.seed.as_ref().map(|(layers, merged, _)| (layers.as_slice(), *merged))
        }
        TaskMountKind::Tmpfs { .. }
        | TaskMountKind::Secret { .. }
        | TaskMountKind::SecretEnv { .. }
        | TaskMountKind::Ssh { .. } => None,
    });
    std::iter::once((task.layers.as_slice(), task.merged)).chain(mounted).collect()
}

/// Every layer that `task` reads, each once.
pub(crate) fn layers(task: &RunTask) -> Vec<LayerDigest> {
    let stacks = stacks(task);
    let layers = stacks.iter().flat_map(|(layers, _)| layers.iter().map(|layer| layer.digest));
    let mut seen = BTreeSet::new();
    layers.filter(|layer| seen.insert(*layer)).collect()
}

/// Those of `layers` that are not all in `store`.
pub(crate) fn incomplete(store: &Store, layers: Vec<LayerDigest>) -> Result<Vec<LayerDigest>, Error> {
    let mut incomplete = Vec::new();
    for layer in layers {
        if !store.is_complete(&layer)? {
            incomplete.push(layer);
        }
    }
    Ok(incomplete)
}

/// Runs what blocks where blocking is allowed.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::Panicked(panic.to_string())))
}
