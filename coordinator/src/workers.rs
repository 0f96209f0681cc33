//! The workers that are connected: what each can do, what each holds, and how it is reached.
//!
//! A worker is known by the name in its certificate. One that comes back replaces its former self; each self is a *session*
//! with a number, so that the end of an old session says nothing about the new one. Entries change in the dispatcher only;
//! everybody may look.

mod bytes;
mod look;
mod remote;
mod session;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farm_exchange::Source;
use farm_model::event::MachineLoad;
use farm_model::{LayerDigest, LeaseId, Platform, Scope, StepDigest, WorkerId};
use farm_proto::client::{Duty, WorkerStatus};
use farm_proto::{CoordinatorMessage, Peer};
use farm_transport::Connection;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub(crate) use bytes::Replicator;
pub(crate) use look::Look;
pub(crate) use remote::serve;
pub(crate) use session::local;

/// Messages that may wait for a worker; one that takes none for so long is lost.
const OUTBOX: usize = 4096;
/// How many peers a worker is told of for one task.
const MOST_PEERS: usize = 4;

/// Every worker that is connected.
#[derive(Debug)]
pub(crate) struct Workers {
    present: Mutex<BTreeMap<WorkerId, Present>>,
    sessions: AtomicU64,
    /// Counts what those who watch would like to hear of.
    revision: AtomicU64,
    /// How often a worker went.
    departures: AtomicU64,
    /// Tells of every change of who holds what.
    holdings: watch::Sender<u64>,
    /// Since when workers could come.
    born: Instant,
    /// Whether one is, or is about to be, in this process: its layers are this store's, so none comes back with a worker.
    here: AtomicBool,
}

/// What a worker said when it came.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) slots: u32,
    pub(crate) most: u32,
    pub(crate) platform: Platform,
    pub(crate) labels: Vec<String>,
    pub(crate) address: Option<String>,
    pub(crate) running: Vec<(LeaseId, StepDigest, Scope)>,
    /// None for the one in this process, which shares the store.
    pub(crate) connection: Option<Connection>,
    pub(crate) outbox: mpsc::Sender<CoordinatorMessage>,
}

/// Where a worker runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// In this process, over the same store.
    Here,
    /// On a machine of its own.
    Elsewhere,
}

/// A worker that is connected.
#[derive(Debug)]
struct Present {
    session: u64,
    slots: u32,
    most: u32,
    labels: Vec<String>,
    platform: Platform,
    address: Option<String>,
    connection: Option<Connection>,
    outbox: mpsc::Sender<CoordinatorMessage>,
    held: HashSet<LayerDigest>,
    state: State,
    /// The revision in which it became what it is.
    since: u64,
    /// What its machine uses, and the revision in which it said so.
    load: Option<(MachineLoad, u64)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Taking,
    Draining,
}

impl Workers {
    pub(crate) fn new() -> Self {
        let holdings = watch::Sender::new(0);
        Self {
            present: Mutex::default(),
            sessions: AtomicU64::default(),
            revision: AtomicU64::default(),
            departures: AtomicU64::default(),
            holdings,
            born: Instant::now(),
            here: AtomicBool::new(false),
        }
    }

    /// A worker in this process is about to come.
    pub(crate) fn expect_here(&self) {
        self.here.store(true, Ordering::Relaxed);
    }

    /// The number of a new session.
    fn session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a worker in; its former self is let go.
    pub(crate) fn join(&self, worker: WorkerId, session: u64, hello: Hello) {
        let Hello { slots, most, platform, labels, address, connection, outbox, running: _ } = hello;
        let (held, state) = (HashSet::new(), State::Taking);
        let mut workers = self.present();
        let since = self.revise();
        let present = Present {
            session,
            slots,
            most,
            labels,
            platform,
            address,
            connection,
            outbox,
            held,
            state,
            since,
            load: None,
        };
        workers.insert(worker, present);
        drop(workers);
        self.changed();
    }

    /// Ends a session; says whether its worker is gone with it.
    pub(crate) fn leave(&self, worker: &WorkerId, session: u64) -> bool {
        let mut present = self.present();
        let current = present.get(worker).is_some_and(|present| present.session == session);
        if current {
            present.remove(worker);
            self.departures.fetch_add(1, Ordering::Relaxed);
        }
        drop(present);
        self.changed();
        current
    }

    /// Lets a worker go whatever its session thinks; says whether there was one.
    pub(crate) fn dismiss(&self, worker: &WorkerId) -> bool {
        let mut present = self.present();
        let gone = present.remove(worker);
        self.departures.fetch_add(1, Ordering::Relaxed);
        drop(present);
        self.changed();
        gone.is_some()
    }

    /// Whether this is the worker's present self.
    pub(crate) fn is_present(&self, worker: &WorkerId, session: u64) -> bool {
        self.present().get(worker).is_some_and(|present| present.session == session)
    }

    /// Hands a message to a worker's session without waiting; says whether it was taken.
    pub(crate) fn send(&self, worker: &WorkerId, message: CoordinatorMessage) -> bool {
        self.present().get(worker).is_some_and(|present| present.outbox.try_send(message).is_ok())
    }

    /// The worker gets no new leases, or gets some again; says whether it is there.
    pub(crate) fn rest(&self, worker: &WorkerId, duty: Duty) -> bool {
        let mut present = self.present();
        let Some(present) = present.get_mut(worker) else { return false };
        let state = match duty {
            Duty::Open => State::Taking,
            Duty::Drained => State::Draining,
        };
        if present.state != state {
            present.state = state;
            present.since = self.revise();
        }
        true
    }

    /// Layers came to a worker or left it.
    pub(crate) fn hold(&self, worker: &WorkerId, added: &[LayerDigest], removed: &[LayerDigest]) {
        if let Some(present) = self.present().get_mut(worker) {
            present.held.extend(added);
            for layer in removed {
                present.held.remove(layer);
            }
        }
        self.changed();
    }

    /// Where a worker is.
    pub(crate) fn place(&self, worker: &WorkerId) -> Place {
        match self.present().get(worker) {
            Some(Present { connection: None, .. }) => Place::Here,
            Some(_) | None => Place::Elsewhere,
        }
    }

    /// Whether some worker holds all of `layer`.
    pub(crate) fn holds(&self, layer: &LayerDigest) -> bool {
        self.present().values().any(|present| present.held.contains(layer))
    }

    /// Nobody is believed any more to hold these.
    pub(crate) fn disbelieve(&self, layers: &[LayerDigest]) {
        for present in self.present().values_mut() {
            for layer in layers {
                present.held.remove(layer);
            }
        }
    }

    /// The stores of workers, those first that hold most of `layers`.
    pub(crate) fn sources(&self, layers: &[LayerDigest]) -> Vec<Source> {
        let present = self.present();
        let mut sources: Vec<(usize, &Connection)> = present
            .values()
            .filter_map(|present| {
                let held = layers.iter().filter(|layer| present.held.contains(*layer)).count();
                Some((held, present.connection.as_ref()?))
            })
            .collect();
        sources.sort_by_key(|(held, _)| std::cmp::Reverse(*held));
        sources.into_iter().map(|(_, connection)| Source::Worker(connection.clone())).collect()
    }

    /// Workers on machines of their own.
    pub(crate) fn connections(&self) -> Vec<(WorkerId, Connection)> {
        let present = self.present();
        let remote =
            present.iter().filter_map(|(id, present)| Some((id.clone(), present.connection.clone()?)));
        remote.collect()
    }

    /// Whom `worker` may ask for layers of a task, the best first.
    pub(crate) fn peers(&self, worker: &WorkerId, inputs: &[(LayerDigest, u64)]) -> Vec<Peer> {
        let present = self.present();
        let Some(own) = present.get(worker) else { return Vec::new() };
        let missing: Vec<_> = inputs.iter().filter(|(layer, _)| !own.held.contains(layer)).collect();
        let mut peers: Vec<(u64, Peer)> = Vec::new();
        for (id, other) in present.iter().filter(|(id, _)| *id != worker) {
            let held = missing.iter().filter(|(layer, _)| other.held.contains(layer));
            let bytes = held.fold(0_u64, |sum, (_, bytes)| sum.saturating_add(bytes.saturating_add(1)));
            if let (1.., Some(address)) = (bytes, &other.address) {
                peers.push((bytes, Peer { worker: id.clone(), address: address.clone() }));
            }
        }
        peers.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        peers.into_iter().take(MOST_PEERS).map(|(_, peer)| peer).collect()
    }

    /// Hears of changes of who holds what.
    pub(crate) fn watch_holdings(&self) -> watch::Receiver<u64> {
        self.holdings.subscribe()
    }

    /// The workers in words, for a step that nobody can do.
    pub(crate) fn describe(&self) -> String {
        let present = self.present();
        if present.is_empty() {
            return "no worker is connected".to_owned();
        }
        let one = |(id, present): (&WorkerId, &Present)| match present.state {
            State::Taking => format!("`{id}` ({})", present.platform),
            State::Draining => format!("`{id}` ({}, takes no more work)", present.platform),
        };
        let all: Vec<_> = present.iter().map(one).collect();
        format!("connected: {}", all.join(", "))
    }

    /// How each is; `running` says how many leases it holds.
    pub(crate) fn statuses(&self, running: impl Fn(&WorkerId) -> u32) -> Vec<WorkerStatus> {
        let status = |(id, present): (&WorkerId, &Present)| WorkerStatus {
            worker: id.to_string(),
            platform: present.platform.clone(),
            slots: present.slots,
            running: running(id),
            draining: present.state == State::Draining,
            most: present.most,
            labels: present.labels.clone(),
            load: present.load.map(|(load, _)| load),
        };
        self.present().iter().map(status).collect()
    }

    fn present(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Present>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revise(&self) -> u64 {
        self.revision.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn changed(&self) {
        self.holdings.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}
