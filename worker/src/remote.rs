//! A worker on a machine of its own: keeps the connection to its coordinator, and makes it again when it is lost.
//!
//! Steps do not notice a short loss. Their reports wait (a step that writes much waits with them), and results that were
//! sent lately are sent again, because a connection that breaks may have taken them along. Nobody expects a worker back
//! that was away for long: its steps are cancelled then.

mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farm_proto::{CoordinatorMessage, WorkerMessage};
use farm_store::Store;
use farm_transport::{Connection, Endpoint, Expected, Role};
use tokio::sync::{mpsc, watch};

use crate::desk::Desk;
use crate::holdings::Holdings;
use crate::leases::Leases;
use crate::listen;
use crate::merged::Merged;
use crate::peers::Peers;
use crate::provide::{Fetching, Provider};
use crate::run::Runner;
use crate::step::{Stepper, Supply};
use crate::worker::Options;

/// Commands and reports that may wait.
const MESSAGES: usize = 256;
/// For how long running steps are kept while the coordinator is away.
const FORGIVENESS: Duration = Duration::from_secs(30);
/// A session that ends sooner was none: the pause before the next one grows.
const LASTING: Duration = Duration::from_secs(2);
/// How often it is looked whether anything runs.
const GLANCE: Duration = Duration::from_secs(1);
/// For how long nothing runs before memory is given back.
const REST: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The connected side of a worker.
struct Remote {
    endpoint: Endpoint,
    address: SocketAddr,
    options: Options,
    store: Store,
    leases: Arc<Leases>,
    holdings: Arc<Holdings>,
    commands: mpsc::Sender<CoordinatorMessage>,
    reports: mpsc::Receiver<WorkerMessage>,
    /// A report whose sending was interrupted.
    unsent: Option<WorkerMessage>,
    connection: watch::Sender<Option<Connection>>,
}

/// Serves the coordinator at `address` until `stop` is ready.
pub(crate) async fn serve(
    runner: Arc<Runner>,
    options: Options,
    endpoint: Endpoint,
    address: SocketAddr,
    stop: impl Future<Output = ()>,
) {
    let (commands, mut received) = mpsc::channel(MESSAGES);
    let (reports, reported) = mpsc::channel(MESSAGES);
    let (connection, coordinator) = watch::channel(None);
    let (leases, holdings) = (Arc::new(Leases::default()), Arc::new(Holdings::default()));
    let (store, leases_held) = (runner.store.clone(), Arc::clone(&leases));
    let provider = Provider {
        store: store.clone(),
        peers: Peers::new(endpoint.clone()),
        coordinator,
        holdings: Arc::clone(&holdings),
        merged: Arc::new(Merged::default()),
        fetching: Fetching::default(),
    };
    let supply = Supply::Own(Arc::new(provider));
    let mut desk = Desk::new(Stepper { runner, leases: Arc::clone(&leases), reports, supply }, options.most);
    let mut remote = Remote {
        endpoint: endpoint.clone(),
        address,
        options,
        store: store.clone(),
        leases,
        holdings: Arc::clone(&holdings),
        commands,
        reports: reported,
        unsent: None,
        connection,
    };
    tokio::select! {
        () = stop => {}
        () = remote.stay_connected() => {}
        () = desk.serve(&mut received) => {}
        () = listen::listen(&endpoint, &store) => {}
        () = holdings.sweep(&store) => {}
        () = rest(&leases_held) => {}
    }
    // Whoever waits for our leases learns at once that they end.
    if let Some(connection) = remote.connection.send_replace(None) {
        connection.close("the worker stops");
    }
    tokio::select! {
        () = desk.close() => {}
        () = remote.discard_reports() => {}
    }
    endpoint.close("the worker stops").await;
}

/// Gives memory that steps have left back to the machine whenever none has run for a while. Never ends.
async fn rest(leases: &Leases) {
    let (mut idle, mut rested) = (Duration::ZERO, true);
    loop {
        tokio::time::sleep(GLANCE).await;
        if !leases.held().is_empty() {
            (idle, rested) = (Duration::ZERO, false);
            continue;
        }
        idle += GLANCE;
        if !rested && idle >= REST {
            rested = true;
            // It has nothing to tell.
            let _done = tokio::task::spawn_blocking(farm_executor::release_memory).await;
        }
    }
}

impl Remote {
    /// Never ends.
    async fn stay_connected(&mut self) {
        let mut lost = Instant::now();
        let mut pause = Duration::ZERO;
        loop {
            let connection = self.connect(lost + FORGIVENESS, pause).await;
            tracing::info!(coordinator = %self.address, "connected to the coordinator");
            let start = Instant::now();
            self.connection.send_replace(Some(connection.clone()));
            let ended = self.session(&connection).await;
            self.connection.send_replace(None);
            let reason = match ended {
                Ok(()) => "the coordinator ended it".to_owned(),
                Err(error) => farm_model::causes(&error),
            };
            connection.close("the session ended");
            tracing::warn!(coordinator = %self.address, reason, "the session with the coordinator ended");
            lost = Instant::now();
            pause = if start.elapsed() >= LASTING { Duration::ZERO } else { longer(pause) };
        }
    }

    /// Dials until somebody answers. Once `until` has passed everything that runs is cancelled.
    async fn connect(&mut self, until: Instant, pause: Duration) -> Connection {
        let (endpoint, address) = (self.endpoint.clone(), self.address);
        let mut dialling = Box::pin(dial(&endpoint, address, pause));
        tokio::select! {
            connection = &mut dialling => return connection,
            () = tokio::time::sleep_until(until.into()) => {}
        }
        if !self.leases.held().is_empty() {
            tracing::warn!(coordinator = %address, "the coordinator stays away: running steps are cancelled");
            self.leases.cancel_all();
        }
        if let Some(WorkerMessage::Finished { lease, .. }) = self.unsent.take() {
            self.leases.close(lease);
        }
        tokio::select! {
            connection = &mut dialling => connection,
            () = self.discard_reports() => unreachable!("reports never end"),
        }
    }

    /// Takes reports that nobody will hear, so that no step waits to be heard. Never ends.
    async fn discard_reports(&mut self) {
        while let Some(report) = self.reports.recv().await {
            if let WorkerMessage::Finished { lease, .. } = report {
                self.leases.close(lease);
            }
        }
        std::future::pending::<()>().await;
    }
}

async fn dial(endpoint: &Endpoint, address: SocketAddr, mut pause: Duration) -> Connection {
    let mut told = false;
    loop {
        tokio::time::sleep(pause).await;
        match endpoint.connect(address, &Expected::any(Role::Coordinator)).await {
            Ok(connection) => return connection,
            Err(error) if told => tracing::debug!(coordinator = %address, %error, "still not connected"),
            Err(error) => {
                let reason = farm_model::causes(&error);
                tracing::warn!(coordinator = %address, reason, "the coordinator cannot be reached; trying on");
                told = true;
            }
        }
        pause = longer(pause);
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}
