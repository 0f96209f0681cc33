//! The coordinator as its process sees it: started over a store, serving connections until it is stopped.
//!
//! Every connection, every request and every build is a task of its own, and all of them belong to one set that ends with the
//! coordinator. Connections are taken for what their certificates say.

mod client;
mod follow;
mod status;
mod tasks;
#[cfg(test)]
mod tests;
mod viewing;

use std::sync::Arc;
use std::time::Duration;

use farm_model::WorkerId;
use farm_proto::{CoordinatorMessage, WorkerMessage};
use farm_store::{Mark, Store};
use farm_transport::{Connection, Endpoint, Incoming, Role};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::build::{Farm, Options};
use crate::dispatch::Dispatch;
use crate::service::tasks::Tasks;
use crate::{Error, disk, workers};

/// How long a peer may take to show its certificate.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Runs builds over one store and the workers that come. Clones are the same coordinator.
#[derive(Clone, Debug)]
pub struct Coordinator {
    service: Arc<Service>,
}

/// What every connection is served from.
#[derive(Debug)]
struct Service {
    farm: Arc<Farm>,
    tasks: Tasks,
    /// Whether somebody has asked for the end.
    stopped: watch::Sender<bool>,
}

impl Coordinator {
    /// A coordinator over `store`. Needs a tokio runtime.
    pub fn new(store: Store, options: Options) -> Result<Self, Error> {
        let epoch = store.next_epoch()?;
        let (dispatch, mut dispatcher) = Dispatch::new(&store, epoch);
        dispatcher.remember(store.durations()?);
        dispatcher.rest(store.marks(Mark::DrainedWorker)?.into_iter().map(WorkerId));
        let farm = Arc::new(Farm::new(store, dispatch, options)?);
        let tasks = Tasks::default();
        tasks.spawn(dispatcher.run());
        tasks.spawn(disk::sample_while_watched(Arc::clone(&farm)));
        Ok(Self { service: Arc::new(Service { farm, tasks, stopped: watch::Sender::new(false) }) })
    }

    /// Takes a worker in this process in, which shares the store.
    pub fn attach_local(
        &self,
        worker: WorkerId,
        commands: mpsc::Sender<CoordinatorMessage>,
        reports: mpsc::Receiver<WorkerMessage>,
    ) {
        let farm = Arc::clone(&self.service.farm);
        farm.dispatch.workers().expect_here();
        self.service.tasks.spawn(async move { workers::local(&farm, worker, commands, reports).await });
    }

    /// Serves whoever dials, until a client asks for the end or [`Coordinator::shutdown`] is called.
    pub async fn serve(&self, endpoint: Endpoint) {
        let mut stopped = self.service.stopped.subscribe();
        loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => {
                        let service = Arc::clone(&self.service);
                        self.service.tasks.spawn(async move { service.welcome(incoming).await });
                    }
                    None => break,
                },
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        self.service.farm.builds.flush().await;
        endpoint.close("the coordinator ends").await;
    }

    /// Ends everything that runs. Builds are left as they are: whoever comes back to the next coordinator goes on with them.
    pub async fn shutdown(&self) {
        self.service.stopped.send_replace(true);
        self.service.farm.builds.close();
        self.service.tasks.shutdown().await;
        self.service.farm.builds.flush().await;
    }

    /// For how long nothing has run and nothing was asked; none while something is.
    pub fn idle_for(&self) -> Option<Duration> {
        self.service.farm.builds.idle_for()
    }

    /// How many builds run.
    pub fn running_builds(&self) -> usize {
        self.service.farm.builds.count()
    }
}

impl Service {
    async fn welcome(self: Arc<Self>, incoming: Incoming) {
        let address = incoming.remote_address();
        let connection = match timeout(HANDSHAKE, incoming.finish()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return tracing::info!(%address, %error, "a peer is turned away"),
            Err(_) => return tracing::info!(%address, "a peer did not say in time who it is"),
        };
        let peer = connection.peer().clone();
        if peer.scope != self.farm.scope {
            return connection.close("this coordinator serves another scope");
        }
        match peer.role {
            Role::Client | Role::Viewer => self.serve_client(connection).await,
            Role::Worker => workers::serve(&self.farm, connection).await,
            Role::Coordinator => connection.close("a coordinator has nothing to ask of another"),
        }
    }

    /// A task for each request. They do not end with the connection: each of them notices that by itself.
    async fn serve_client(self: Arc<Self>, connection: Connection) {
        let open = Arc::new(tokio::sync::Semaphore::new(client::MOST_REQUESTS));
        // Further streams wait to be taken; the peer can open no more of them than the transport allows.
        while let Ok(turn) = Arc::clone(&open).acquire_owned().await {
            let Ok(Some(stream)) = connection.accept().await else { return };
            let (service, connection) = (Arc::clone(&self), connection.clone());
            self.tasks.spawn(async move {
                client::answer(&service, &connection, stream).await;
                drop(turn);
            });
        }
    }
}
