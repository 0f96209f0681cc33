//! What step drivers ask for when a step needs a worker, and the one task that decides.
//!
//! A driver hands an [`Execution`] in and waits for its end; meanwhile it writes into its build's own log what the flight's
//! log says, from the start and at its own pace. One [`Dispatcher`] owns the scheduler, tells it what happens and performs
//! what it decides. Sessions with workers ([`crate::workers`]) feed the logs and the dispatcher.
//!
//! Invariants: the dispatcher waits for nobody, neither a driver nor a worker; a report is believed only under a lease that
//! was issued to the worker who reports; secrets live in tasks only and go to no log.

mod dispatcher;
mod durations;
mod duty;
mod log;
mod perform;
mod shape;
mod strays;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farm_model::{
    BuildEvent, BuildGraph, BuildId, LayerDigest, LeaseId, Scope, StepDigest, StepId, WorkerId,
};
use farm_proto::client::{Duty, WorkerStatus};
use farm_proto::{Outcome, RunTask, WorkerMessage};
use farm_scheduler::command::BuildStep;
use farm_scheduler::{Millis, StepShape, Work};
use farm_store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::report::Reporter;
use crate::workers::{Hello, Replicator, Workers};
use crate::{Error, Session};

use dispatcher::Background;
pub(crate) use dispatcher::Dispatcher;
pub(crate) use log::{Entry, Log};
pub(crate) use turn::{Order, Turn};

/// How many messages of workers may wait for the dispatcher.
const REPORTS: usize = 1024;
/// How many durations of steps may wait to be kept; what does not fit is learned again.
const LEARNED: usize = 1024;
/// How many layers may wait to be copied from their workers; what does not fit stays where it is.
const REPLICAS: usize = 4096;

/// The door to the dispatcher; clones lead to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    // Unbounded because a step is abandoned where nothing can wait, in `drop`. A step has at most two messages in it.
    requests: mpsc::UnboundedSender<Request>,
    reports: mpsc::Sender<Report>,
    leases: Arc<Leases>,
    workers: Arc<Workers>,
    turns: Arc<turn::Turns>,
    tickets: Arc<AtomicU64>,
    replicas: mpsc::Sender<LayerDigest>,
    root: PathBuf,
}

/// A step that needs a worker.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) build: BuildId,
    pub(crate) step: StepId,
    /// Taken before the step's result was looked up, so that a result that is made in between is not missed.
    pub(crate) turn: Turn,
    pub(crate) work: Work,
    /// Agents are named as the client's; where they are on this machine is in `agents`.
    pub(crate) task: RunTask,
    /// Sockets of agents on this machine, by id, where the client's paths are honoured.
    pub(crate) agents: BTreeMap<String, String>,
    /// Whom to ask for agents; none for what has no client.
    pub(crate) session: Option<Session>,
}

/// The end of an execution; who waited for the same flight has the same.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) outcome: Arc<Outcome>,
}

impl Dispatch {
    /// A dispatcher that grants leases of `epoch`, and the door to it. It works while [`Dispatcher::run`] is polled.
    pub(crate) fn new(store: &Store, epoch: u64) -> (Self, Dispatcher) {
        let (requests, requested) = mpsc::unbounded_channel();
        let (reports, reported) = mpsc::channel(REPORTS);
        let (replicas, wanted) = mpsc::channel(REPLICAS);
        let (learned, learning) = mpsc::channel(LEARNED);
        let keeper = durations::Keeper::new(store.clone(), learning);
        let workers = Arc::new(Workers::new());
        let replicator = Replicator::new(store.clone(), Arc::clone(&workers), wanted);
        let dispatch = Self {
            requests,
            reports,
            leases: Arc::default(),
            workers,
            turns: Arc::default(),
            tickets: Arc::default(),
            replicas,
            root: store.root().to_owned(),
        };
        let background = Background { replicator, keeper };
        let dispatcher = Dispatcher::new(&dispatch, requested, reported, background, learned, epoch);
        (dispatch, dispatcher)
    }

    /// A build begins: its steps may be executed and settled from now on.
    pub(crate) fn build_started(&self, build: BuildId, scope: Scope, graph: &BuildGraph) {
        self.tell(Request::BuildStarted { build, scope, steps: shape::shapes(graph) });
    }

    /// As [`Dispatch::build_started`], for one step that is part of no build.
    pub(crate) fn single_started(&self, build: BuildId, scope: Scope, step: StepShape) {
        self.tell(Request::BuildStarted { build, scope, steps: vec![step] });
    }

    /// A build is over, however it ended.
    pub(crate) fn build_ended(&self, build: BuildId) {
        self.tell(Request::BuildEnded { build });
    }

    /// A step is done without a worker. `took` is what doing it takes, also where it was found in the cache.
    pub(crate) fn settled(&self, build: BuildId, step: StepId, took: Duration) {
        let took = Millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.tell(Request::Settled { build, step, took });
    }

    /// The turn for the step `key`: to be taken before its result is looked up, and kept until it is recorded.
    pub(crate) fn turn(&self, scope: &Scope, key: StepDigest) -> Turn {
        self.turns.turn(scope, key)
    }

    /// Has a layer copied here in the background.
    pub(crate) fn replicate(&self, layer: LayerDigest) {
        let _full = self.replicas.try_send(layer);
    }

    /// How each worker is.
    pub(crate) fn statuses(&self) -> Vec<WorkerStatus> {
        self.workers.statuses(|worker| self.leases.held_by(worker))
    }

    /// The workers that are connected.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Has a step done, reporting what its flight logs. Dropping the future abandons the step.
    pub(crate) async fn execute(
        &self,
        execution: Execution,
        reporter: &Reporter,
    ) -> Result<Delivered, Error> {
        let Execution { build, step, turn, work, task, agents, session } = execution;
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let log = Arc::new(Log::new(self.root.clone()));
        let (reply, mut ended) = oneshot::channel();
        let who = (build, step);
        let mut place = Place { dispatch: self, who, ticket, open: true };
        let waiter = Waiter { who, ticket, turn, work, task, agents, session, log: Arc::clone(&log), reply };
        self.tell(Request::Execute(Box::new(waiter)));
        let mut entries = log::Reader::new(log);
        let mut told = Told::default();
        let ended = loop {
            tokio::select! {
                biased;
                entry = entries.next() => told.report(reporter, step, entry).await,
                ended = &mut ended => break ended,
            }
        };
        place.open = false;
        // The dispatcher goes only when the whole coordinator does.
        let delivered = ended.map_err(|_| Error::Cancelled)?;
        while let Some(entry) = entries.try_next().await {
            told.report(reporter, step, entry).await;
        }
        delivered
    }

    /// Whom to ask for the agents of the step under `lease`, if `worker` holds it.
    pub(crate) async fn client_of(&self, worker: &WorkerId, lease: LeaseId) -> Option<Session> {
        self.leases.log(worker, lease)?;
        let (reply, answer) = oneshot::channel();
        self.tell(Request::ClientOf { lease, reply });
        answer.await.ok().flatten()
    }

    /// Gives a worker no more work, or work again; false when there is no such worker.
    pub(crate) async fn set_duty(&self, worker: WorkerId, duty: Duty) -> bool {
        let (reply, answer) = oneshot::channel();
        self.tell(Request::Duty { worker, duty, reply });
        // The dispatcher goes only when the whole coordinator does.
        answer.await.unwrap_or(false)
    }

    /// Has a step that runs done elsewhere; false when it does not run.
    pub(crate) async fn relocate(&self, who: BuildStep, reason: String) -> bool {
        let (reply, answer) = oneshot::channel();
        self.tell(Request::Relocate { who, reason, reply });
        answer.await.unwrap_or(false)
    }

    /// The log under `lease`, if `worker` holds it.
    pub(crate) fn log_of(&self, worker: &WorkerId, lease: LeaseId) -> Option<Arc<Log>> {
        self.leases.log(worker, lease)
    }

    /// Tells the dispatcher what a worker said or did.
    pub(crate) async fn report(&self, report: Report) {
        // The dispatcher goes only when the whole coordinator does.
        let _ending = self.reports.send(report).await;
    }

    fn tell(&self, request: Request) {
        let _ending = self.requests.send(request);
    }
}

/// What drivers tell the dispatcher.
#[derive(Debug)]
enum Request {
    BuildStarted { build: BuildId, scope: Scope, steps: Vec<StepShape> },
    BuildEnded { build: BuildId },
    Settled { build: BuildId, step: StepId, took: Millis },
    Execute(Box<Waiter>),
    Abandon { who: BuildStep, ticket: u64 },
    ClientOf { lease: LeaseId, reply: oneshot::Sender<Option<Session>> },
    Duty { worker: WorkerId, duty: Duty, reply: oneshot::Sender<bool> },
    Relocate { who: BuildStep, reason: String, reply: oneshot::Sender<bool> },
}

/// What sessions with workers tell the dispatcher.
#[derive(Debug)]
pub(crate) enum Report {
    /// A worker said hello; `session` tells it from its former and later selves. What it reports is heard from `taken` on.
    Joined { worker: WorkerId, session: u64, hello: Box<Hello>, taken: oneshot::Sender<()> },
    /// A session ended.
    Lost { worker: WorkerId, session: u64 },
    /// Heartbeats, load, holdings and ends of leases.
    Said { worker: WorkerId, session: u64, message: WorkerMessage },
}

/// A driver that waits for a step.
#[derive(Debug)]
struct Waiter {
    who: BuildStep,
    /// Tells this execution from an earlier one of the same step.
    ticket: u64,
    turn: Turn,
    work: Work,
    task: RunTask,
    agents: BTreeMap<String, String>,
    session: Option<Session>,
    log: Arc<Log>,
    reply: oneshot::Sender<Result<Delivered, Error>>,
}

/// A driver's place among those who wait; given up on drop.
struct Place<'a> {
    dispatch: &'a Dispatch,
    who: BuildStep,
    ticket: u64,
    open: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.open {
            self.dispatch.tell(Request::Abandon { who: self.who, ticket: self.ticket });
        }
    }
}

/// What the log of a build was told of a step. Whoever takes part in a flight reads its log from the start, after their own.
#[derive(Debug, Default)]
struct Told {
    expected: Option<u64>,
}

impl Told {
    async fn report(&mut self, reporter: &Reporter, step: StepId, entry: Entry) {
        if let Entry::Expected { micros } = &entry
            && self.expected.replace(*micros).is_some()
        {
            return;
        }
        if let Some(event) = event(step, entry) {
            reporter.send(event).await;
        }
    }
}

fn event(step: StepId, entry: Entry) -> Option<BuildEvent> {
    Some(match entry {
        Entry::Queued => BuildEvent::Queued { step },
        Entry::Follow { build, .. } => BuildEvent::Shared { step, build },
        Entry::GoOn { .. } => return None,
        Entry::Expected { micros } => BuildEvent::Expected { step, micros },
        Entry::Fetched { bytes, micros } => BuildEvent::Fetched { step, bytes, micros },
        Entry::Started { worker } => BuildEvent::Started { step, worker: Some(worker) },
        Entry::Logged { stream, bytes } => BuildEvent::Logged { step, stream, bytes },
        Entry::Warned { message } => BuildEvent::Warned { message },
        Entry::Retried { reason } => BuildEvent::Retried { step, reason },
    })
}

/// Every lease that is out: who holds it and which log its reports go to.
#[derive(Debug, Default)]
struct Leases {
    open: Mutex<BTreeMap<LeaseId, (WorkerId, Arc<Log>)>>,
}

impl Leases {
    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<LeaseId, (WorkerId, Arc<Log>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue(&self, lease: LeaseId, worker: WorkerId, log: Arc<Log>) {
        self.open().insert(lease, (worker, log));
    }

    fn end(&self, lease: LeaseId) {
        self.open().remove(&lease);
    }

    fn end_all_of(&self, worker: &WorkerId) {
        self.open().retain(|_, (holder, _)| holder != worker);
    }

    fn log(&self, worker: &WorkerId, lease: LeaseId) -> Option<Arc<Log>> {
        self.open().get(&lease).filter(|(holder, _)| holder == worker).map(|(_, log)| Arc::clone(log))
    }

    fn held_by(&self, worker: &WorkerId) -> u32 {
        let held = self.open().values().filter(|(holder, _)| holder == worker).count();
        u32::try_from(held).unwrap_or(u32::MAX)
    }
}
