//! The worker and the two ways in which it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use farm_executor::{Executor, NetworkPool};
use farm_model::Platform;
use farm_proto::{CoordinatorMessage, WorkerMessage};
use farm_store::Store;
use farm_transport::Endpoint;
use tokio::sync::mpsc;

use crate::cache_mount::CacheMounts;
use crate::desk::Desk;
use crate::leases::Leases;
use crate::pulse::Pulse;
use crate::remote;
use crate::run::Runner;
use crate::step::{Stepper, Supply};

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Steps that keep a processor busy and may run at once.
    pub slots: usize,
    /// Steps that may run at once at most, however little they use.
    pub most: usize,
    /// What each step may use at most.
    pub limits: farm_executor::Limits,
    /// Labels that steps can ask for.
    pub labels: Vec<String>,
    /// Where other workers reach it, when they do.
    pub address: Option<String>,
}

/// A worker over one store and one executor.
pub struct Worker {
    runner: Arc<Runner>,
    options: Options,
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
        Self { runner: Arc::new(runner), options }
    }

    /// Serves a coordinator in this process, which has the same store, until it closes `commands`. Running steps are then
    /// cancelled and waited for, so that nothing of them is left.
    pub async fn serve_local(
        self,
        mut commands: mpsc::Receiver<CoordinatorMessage>,
        reports: mpsc::Sender<WorkerMessage>,
    ) {
        let leases = Arc::new(Leases::default());
        // A coordinator that is gone takes no reports; it closes `commands` too.
        let _gone = reports.send(self.options.hello(Vec::new())).await;
        let mut pulse = Pulse::new(self.runner.store.root().to_owned());
        let stepper = Stepper {
            runner: self.runner,
            leases: Arc::clone(&leases),
            reports: reports.clone(),
            supply: Supply::Shared,
        };
        let mut desk = Desk::new(stepper, self.options.most);
        let beating = async {
            loop {
                let beat = pulse.next(&leases).await;
                if reports.send(beat).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = desk.serve(&mut commands) => {}
            () = beating => {}
        }
        desk.close().await;
    }

    /// Serves the coordinator at `coordinator`, and peers on `endpoint`, until `stop` is ready. A coordinator that is
    /// away is waited for. Running steps are cancelled and waited for at the end.
    pub async fn serve_remote(
        self,
        endpoint: Endpoint,
        coordinator: SocketAddr,
        stop: impl Future<Output = ()>,
    ) {
        remote::serve(self.runner, self.options, endpoint, coordinator, stop).await;
    }
}

impl Options {
    /// The opening of a session.
    pub(crate) fn hello(
        &self,
        running: Vec<(farm_model::LeaseId, farm_model::StepDigest, farm_model::Scope)>,
    ) -> WorkerMessage {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        WorkerMessage::Hello {
            slots: count(self.slots),
            most: count(self.most.max(self.slots)),
            platform: Platform::host(),
            labels: self.labels.clone(),
            address: self.address.clone(),
            running,
        }
    }
}
