//! Answers those who fetch: other workers and the coordinator, on connections of their own or on the session's; and the
//! coordinator when it asks about the disk.

use std::time::Duration;

use farm_exchange::accounts;
use farm_model::{LayerDigest, Scope};
use farm_proto::image::{PruneRequest, UsageRow};
use farm_proto::worker::{Accounts, Errand};
use farm_store::{Pins, Store};
use farm_transport::{Connection, Endpoint, Incoming, Role, Stream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a question may take to arrive once its stream is open.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions of one connection that are answered at once; others wait.
const MOST_STREAMS: usize = 32;
/// Connections that are served at once; further ones are turned away.
const MOST_CONNECTIONS: usize = 1024;

/// Serves whoever dials `endpoint`, for as long as it is open and then for ever.
pub(crate) async fn listen(endpoint: &Endpoint, store: &Store) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return std::future::pending().await };
                // Dropping it turns it away.
                if connections.len() < MOST_CONNECTIONS {
                    connections.spawn(welcome(incoming, store.clone(), endpoint.identity().scope.clone()));
                }
            }
        }
    }
}

async fn welcome(incoming: Incoming, store: Store, scope: Scope) {
    let from = incoming.remote_address();
    let connection = match timeout(PATIENCE, incoming.finish()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            let reason = farm_model::causes(&error);
            return tracing::warn!(%from, reason, "a connection was turned away");
        }
        Err(_) => return,
    };
    if connection.peer().scope != scope {
        return connection.close("this worker belongs to another scope");
    }
    match connection.peer().role {
        Role::Worker | Role::Coordinator => answer(&connection, &store).await,
        Role::Client | Role::Viewer => connection.close("a worker answers workers and coordinators only"),
    }
}

/// Answers every question that comes on `connection`, to its end.
pub(crate) async fn answer(connection: &Connection, store: &Store) {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = streams.join_next() => {}
            stream = connection.accept(), if streams.len() < MOST_STREAMS => match stream {
                Ok(Some(stream)) => {
                    streams.spawn(answer_stream(stream, store.clone()));
                }
                Ok(None) | Err(_) => return,
            },
        }
    }
}

async fn answer_stream(mut stream: Stream, store: Store) {
    let peer = stream.peer().name.clone();
    let errand = match timeout(PATIENCE, stream.receive::<Errand>()).await {
        Ok(Ok(Some(errand))) => errand,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            let reason = farm_model::causes(&error);
            return tracing::warn!(peer, reason, "a question was not understood");
        }
    };
    let answered = match errand {
        Errand::Fetch(fetch) => {
            farm_exchange::serve(&store, fetch, stream).await.map_err(|error| farm_model::causes(&error))
        }
        Errand::Usage { .. } | Errand::Prune { .. } if stream.peer().role != Role::Coordinator => {
            Err("only a coordinator may ask that".to_owned())
        }
        Errand::Usage { pinned } => {
            disk(stream, move || Ok(accounts::rows(&store.usage(&pins(pinned))?))).await
        }
        Errand::Prune { request, pinned } => disk(stream, move || prune(&store, &request, pinned)).await,
    };
    if let Err(reason) = answered {
        tracing::warn!(peer, reason, "a question was not answered to the end");
    }
}

/// Answers with what `work` finds out; it blocks.
async fn disk(
    mut stream: Stream,
    work: impl FnOnce() -> Result<Vec<UsageRow>, farm_store::Error> + Send + 'static,
) -> Result<(), String> {
    let found = tokio::task::spawn_blocking(work).await;
    let answer = match found {
        Ok(Ok(rows)) => Accounts::Rows(rows),
        Ok(Err(error)) => Accounts::Failed(farm_model::causes(&error)),
        Err(panic) => Accounts::Failed(panic.to_string()),
    };
    stream.send(&answer).await.map_err(|error| farm_model::causes(&error))
}

fn pins(layers: Vec<LayerDigest>) -> Pins {
    Pins { layers: layers.into_iter().collect() }
}

fn prune(
    store: &Store,
    request: &PruneRequest,
    pinned: Vec<LayerDigest>,
) -> Result<Vec<UsageRow>, farm_store::Error> {
    let mut pins = pins(pinned);
    if !request.all {
        // Records, which say what a later build would find, are the coordinator's.
        pins.layers.extend(store.layer_digests()?);
    }
    accounts::prune(store, request, &pins)
}
