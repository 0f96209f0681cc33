//! The worker's loop: takes leases, runs at most as many as it has slots, and reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use farm_executor::{CancelFlag, Executor, NetworkPool};
use farm_proto::{Blame, CoordinatorMessage, Failure, LeaseId, Outcome, Task, WorkerMessage};
use farm_store::Store;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::cache_mount::CacheMounts;
use crate::run::Runner;

/// How a worker is set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many steps run at once.
    pub slots: usize,
    /// What each step may use at most.
    pub limits: farm_executor::Limits,
}

/// A worker over one store and one executor.
pub struct Worker {
    runner: Arc<Runner>,
    slots: Arc<Semaphore>,
}

impl Worker {
    /// A worker that keeps its layers in `store` and runs its steps in `executor`.
    pub fn new(
        store: Store,
        executor: Arc<dyn Executor>,
        network: Arc<NetworkPool>,
        host_resolv_conf: String,
        options: Options,
    ) -> Self {
        let cache_mounts = CacheMounts::new(store.clone());
        let limits = options.limits;
        let runner = Runner { store, executor, network, cache_mounts, host_resolv_conf, limits };
        Self { runner: Arc::new(runner), slots: Arc::new(Semaphore::new(options.slots.max(1))) }
    }

    /// Serves until `commands` closes; running steps are then cancelled and waited for, so that nothing of them is left.
    pub async fn serve(
        self,
        mut commands: mpsc::UnboundedReceiver<CoordinatorMessage>,
        reports: mpsc::Sender<WorkerMessage>,
    ) {
        let mut tasks = JoinSet::new();
        let mut leases: BTreeMap<LeaseId, CancelFlag> = BTreeMap::new();
        loop {
            tokio::select! {
                Some(done) = tasks.join_next() => {
                    if let Ok(lease) = done {
                        leases.remove(&lease);
                    }
                }
                command = commands.recv() => match command {
                    Some(CoordinatorMessage::Execute { lease, task }) => match CancelFlag::new() {
                        Ok(cancel) => {
                            leases.insert(lease, cancel.clone());
                            tasks.spawn(self.execute(lease, task, cancel, reports.clone()));
                        }
                        Err(error) => {
                            let _gone = reports.send(refused(lease, &error)).await;
                        }
                    },
                    Some(CoordinatorMessage::Cancel { lease }) => {
                        if let Some(cancel) = leases.get(&lease) {
                            cancel.cancel();
                        }
                    }
                    None => break,
                },
            }
        }
        leases.values().for_each(CancelFlag::cancel);
        while tasks.join_next().await.is_some() {}
    }

    fn execute(
        &self,
        lease: LeaseId,
        task: Task,
        cancel: CancelFlag,
        reports: mpsc::Sender<WorkerMessage>,
    ) -> impl Future<Output = LeaseId> + use<> {
        let (runner, slots) = (Arc::clone(&self.runner), Arc::clone(&self.slots));
        async move {
            let _slot = slots.acquire_owned().await;
            let log = reports.clone();
            let run = tokio::task::spawn_blocking(move || match task {
                Task::Run(task) => runner.run(lease, &task, &cancel, &log),
            });
            let outcome = run.await.unwrap_or_else(|panic| {
                Outcome::Failure(Failure {
                    blame: Blame::Internal,
                    message: format!("a step's task panicked: {panic}"),
                    hint: None,
                })
            });
            // A coordinator that is gone takes no reports.
            let _gone = reports.send(WorkerMessage::Finished { lease, outcome }).await;
            lease
        }
    }
}

fn refused(lease: LeaseId, error: &std::io::Error) -> WorkerMessage {
    let failure = Failure {
        blame: Blame::Environment,
        message: format!("cannot make an event descriptor: {error}"),
        hint: Some("raise the limit on open files".to_owned()),
    };
    WorkerMessage::Finished { lease, outcome: Outcome::Failure(failure) }
}
