//! One lease from grant to report.

use std::sync::Arc;

use farm_model::LayerDigest;
use farm_proto::{Blame, Failure, LeaseId, Outcome, Peer, RunTask, Task, WorkerMessage};
use tokio::sync::mpsc;

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
        let outcome = match self.try_execute(lease, *task, &peers, &mut grant).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failure(error.into_failure()),
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
        self.provide(&task, peers, grant).await?;
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
                self.provide(&task, peers, grant).await?;
                Ok(self.run(lease, &task, grant).await)
            }
        }
    }

    /// Has everything here that the task reads, unless it is cancelled meanwhile.
    async fn provide(&self, task: &RunTask, peers: &[Peer], grant: &mut Grant) -> Result<(), Error> {
        let Supply::Own(provider) = &self.supply else { return Ok(()) };
        tokio::select! {
            provided = provider.provide(task, peers) => provided,
            // The run finds the flag raised and ends as it should.
            () = grant.cancelled() => Ok(()),
        }
    }

    async fn run(&self, lease: LeaseId, task: &Arc<RunTask>, grant: &Grant) -> Outcome {
        let (runner, task, reports) = (Arc::clone(&self.runner), Arc::clone(task), self.reports.clone());
        let (cancel, meter) = (grant.cancel.clone(), grant.meter.clone());
        let run = tokio::task::spawn_blocking(move || {
            runner.run(&Job { lease, task: &task, cancel: &cancel, meter: &meter, reports: &reports })
        });
        run.await.unwrap_or_else(|panic| {
            Outcome::Failure(Failure {
                blame: Blame::Internal,
                message: format!("a step's task panicked: {panic}"),
                hint: None,
                lost: Vec::new(),
            })
        })
    }

    /// Layers of `task` that are not all there any more.
    async fn incomplete(&self, task: &Arc<RunTask>) -> Result<Vec<LayerDigest>, Error> {
        let (store, task) = (self.runner.store.clone(), Arc::clone(task));
        provide::apart(move || provide::incomplete(&store, provide::layers(&task))).await
    }
}
