//! One lease from grant to report.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use farm_model::LayerDigest;
use farm_proto::{Blame, Failure, LeaseId, Outcome, Peer, RunTask, Task, WorkerMessage};
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use crate::agent::AgentSockets;
use crate::error::Error;
use crate::leases::{Grant, Leases};
use crate::provide::{self, Provider};
use crate::run::{Job, Runner};

/// What every step of a worker shares.
pub(crate) struct Stepper {
    pub(crate) runner: Arc<Runner>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) reports: mpsc::Sender<WorkerMessage>,
    pub(crate) supply: Supply,
}

/// Where the inputs of steps come from, and who sees their results.
#[derive(Clone)]
pub(crate) enum Supply {
    /// The coordinator has the same store: everything is there, on both sides.
    Shared,
    /// A store of its own.
    Own(Arc<Provider>),
}

/// What was ordered.
pub(crate) struct Order {
    pub(crate) lease: LeaseId,
    pub(crate) task: Task,
    pub(crate) peers: Vec<Peer>,
    pub(crate) grant: Grant,
}

impl Stepper {
    /// Does what was ordered and reports how it ended.
    pub(crate) async fn execute(self: Arc<Self>, order: Order) {
        // Its inputs and its layer stay, whatever is pruned meanwhile.
        let _kept = self.runner.store.begin();
        let Order { lease, task, peers, mut grant } = order;
        let Task::Run(task) = task;
        let attempt = self.try_execute(lease, *task, &peers, &mut grant);
        // A lease whose step ended without a report would be renewed for ever.
        let outcome = match AssertUnwindSafe(attempt).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Failure(error.into_failure()),
            Err(_panic) => panicked(),
        };
        if let (Supply::Own(provider), Outcome::Success { layer: Some(made), .. }) = (&self.supply, &outcome)
        {
            provider.holdings.came([made.layer.digest]);
        }
        self.report(lease, outcome).await;
    }

    /// Passes the end of a lease on.
    pub(crate) async fn report(&self, lease: LeaseId, outcome: Outcome) {
        // A coordinator that is gone takes no reports.
        let _gone = self.reports.send(WorkerMessage::Finished { lease, outcome }).await;
        match self.supply {
            Supply::Shared => self.leases.close(lease),
            // Closed when it has been written to the connection.
            Supply::Own(_) => {}
        }
    }

    async fn try_execute(
        &self,
        lease: LeaseId,
        mut task: RunTask,
        peers: &[Peer],
        grant: &mut Grant,
    ) -> Result<Outcome, Error> {
        self.provide(lease, &task, peers, grant).await?;
        let _sockets = match &self.supply {
            Supply::Shared => AgentSockets::default(),
            Supply::Own(provider) => {
                AgentSockets::open(&self.runner.store, &mut task, lease, &provider.coordinator)?
            }
        };
        let task = Arc::new(task);
        let outcome = self.run(lease, &task, grant).await;
        let Outcome::Failure(failure) = outcome else { return Ok(outcome) };
        let damaged = self.incomplete(&task).await?;
        if damaged.is_empty() || grant.cancel.is_cancelled() {
            return Ok(Outcome::Failure(failure));
        }
        match &self.supply {
            // There is no other copy on this side of the coordinator, which has this one.
            Supply::Shared => Ok(Outcome::Failure(Failure { lost: damaged, ..failure })),
            Supply::Own(_) => {
                self.provide(lease, &task, peers, grant).await?;
                Ok(self.run(lease, &task, grant).await)
            }
        }
    }

    /// Has everything here that the task reads, unless it is cancelled meanwhile.
    async fn provide(
        &self,
        lease: LeaseId,
        task: &RunTask,
        peers: &[Peer],
        grant: &mut Grant,
    ) -> Result<(), Error> {
        let Supply::Own(provider) = &self.supply else { return Ok(()) };
        let fetched = tokio::select! {
            provided = provider.provide(task, peers) => provided?,
            // The run finds the flag raised and ends as it should.
            () = grant.cancelled() => return Ok(()),
        };
        if fetched.bytes > 0 {
            let micros = u64::try_from(fetched.took.as_micros()).unwrap_or(u64::MAX);
            // A coordinator that is gone takes no reports.
            let _gone =
                self.reports.send(WorkerMessage::Fetched { lease, bytes: fetched.bytes, micros }).await;
        }
        Ok(())
    }

    /// Runs the step in a thread of its own: the runtime's threads for blocking work are for what ends soon, and what a
    /// step reports waits for such work.
    async fn run(&self, lease: LeaseId, task: &Arc<RunTask>, grant: &Grant) -> Outcome {
        let (runner, task, reports) = (Arc::clone(&self.runner), Arc::clone(task), self.reports.clone());
        let (cancel, meter) = (grant.cancel.clone(), grant.meter.clone());
        let (done, outcome) = oneshot::channel();
        let run = move || {
            let job = Job { lease, task: &task, cancel: &cancel, meter: &meter, reports: &reports };
            // Nobody waits any more when the worker stops.
            let _gone = done.send(runner.run(&job));
        };
        match std::thread::Builder::new().name("step".to_owned()).spawn(run) {
            Ok(_detached) => outcome.await.unwrap_or_else(|_| panicked()),
            Err(error) => Outcome::Failure(Failure {
                blame: Blame::Environment,
                message: format!("cannot start a thread: {error}"),
                hint: Some("raise the limit on processes, or lower `most-steps`".to_owned()),
                lost: Vec::new(),
            }),
        }
    }

    /// Layers of `task` that are not all there any more.
    async fn incomplete(&self, task: &Arc<RunTask>) -> Result<Vec<LayerDigest>, Error> {
        let (store, task) = (self.runner.store.clone(), Arc::clone(task));
        provide::apart(move || provide::incomplete(&store, provide::layers(&task))).await
    }
}

fn panicked() -> Outcome {
    Outcome::Failure(Failure {
        blame: Blame::Internal,
        message: "a bug of farm: the step's thread panicked; the worker's log says where".to_owned(),
        hint: None,
        lost: Vec::new(),
    })
}
