//! Where commands arrive: starts steps, cancels them, and waits for them at the end.

use std::sync::Arc;

use farm_proto::{Blame, CoordinatorMessage, Failure, LeaseId, Outcome};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::step::{Order, Stepper};

/// The desk of one worker.
pub(crate) struct Desk {
    stepper: Arc<Stepper>,
    most: usize,
    steps: JoinSet<()>,
}

impl Desk {
    /// A desk that lets at most `most` steps run at once. How many should is the coordinator's to decide.
    pub(crate) fn new(stepper: Stepper, most: usize) -> Self {
        Self { stepper: Arc::new(stepper), most: most.max(1), steps: JoinSet::new() }
    }

    /// Does what it is told until `commands` closes.
    pub(crate) async fn serve(&mut self, commands: &mut mpsc::Receiver<CoordinatorMessage>) {
        loop {
            tokio::select! {
                Some(ended) = self.steps.join_next() => {
                    if let Err(panic) = ended {
                        tracing::error!(%panic, "a step's task ended badly");
                    }
                }
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
            }
        }
    }

    async fn obey(&mut self, command: CoordinatorMessage) {
        match command {
            CoordinatorMessage::Execute { lease, key, scope, task, peers } => {
                if self.stepper.leases.count() >= self.most {
                    return self
                        .refuse(lease, format!("the worker runs {} steps already", self.most), None)
                        .await;
                }
                match self.stepper.leases.grant(lease, key, scope) {
                    Ok(grant) => {
                        let order = Order { lease, task, peers, grant };
                        self.steps.spawn(Arc::clone(&self.stepper).execute(order));
                    }
                    Err(error) => {
                        let hint = "raise the limit on open files".to_owned();
                        let message = format!("cannot make an event descriptor: {error}");
                        self.refuse(lease, message, Some(hint)).await;
                    }
                }
            }
            CoordinatorMessage::Cancel { lease } => self.stepper.leases.cancel(lease),
            CoordinatorMessage::Drain => tracing::warn!("the coordinator gives this worker no more work"),
            CoordinatorMessage::Restore => tracing::info!("the coordinator gives this worker work again"),
        }
    }

    async fn refuse(&self, lease: LeaseId, message: String, hint: Option<String>) {
        let failure = Failure { blame: Blame::Environment, message, hint, lost: Vec::new() };
        self.stepper.report(lease, Outcome::Failure(failure)).await;
    }

    /// Cancels what runs and waits until nothing of it is left.
    pub(crate) async fn close(mut self) {
        self.stepper.leases.cancel_all();
        while self.steps.join_next().await.is_some() {}
    }
}
