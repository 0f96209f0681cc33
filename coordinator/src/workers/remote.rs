//! A worker on a machine of its own: every stream that it opens.

use std::sync::Arc;
use std::time::Duration;

use farm_model::{LeaseId, WorkerId};
use farm_proto::WorkerMessage;
use farm_proto::worker::Opening;
use farm_transport::{Connection, Stream};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::session::Session;
use crate::Error;
use crate::build::Farm;

/// Streams of one worker that are served at once; more wait in the connection.
const MOST_STREAMS: usize = 64;
/// Of these, how many may be connections to agents: they are open as long as steps like, and must not keep fetches out.
const MOST_AGENTS: usize = 32;
/// How long a stream may be open without saying what it is for.
const FIRST_WORDS: Duration = Duration::from_secs(30);

/// Serves the worker at the other end until its connection is gone.
pub(crate) async fn serve(farm: &Arc<Farm>, connection: Connection) {
    let caller = Arc::new(Caller {
        worker: WorkerId(connection.peer().name.clone()),
        connection: connection.clone(),
        farm: Arc::clone(farm),
        in_session: Mutex::new(()),
        agents: Semaphore::new(MOST_AGENTS),
    });
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept(), if streams.len() < MOST_STREAMS => match stream {
                Ok(Some(stream)) => {
                    let caller = Arc::clone(&caller);
                    streams.spawn(async move { caller.answer(stream).await });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::info!(worker = %caller.worker, %error, "a worker's connection is lost");
                    break;
                }
            },
            Some(ended) = streams.join_next() => {
                if let Ok(Err(error)) = ended {
                    tracing::debug!(worker = %caller.worker, %error, "a stream ended early");
                }
            }
        }
    }
    connection.close("the connection is over");
    // The session hears that its stream is gone, and says so to the dispatcher.
    while streams.join_next().await.is_some() {}
}

/// A worker that opens streams.
struct Caller {
    worker: WorkerId,
    connection: Connection,
    farm: Arc<Farm>,
    /// Held while a session is open: there is one a connection.
    in_session: Mutex<()>,
    /// Connections to agents that may still be made.
    agents: Semaphore,
}

impl Caller {
    async fn answer(&self, mut stream: Stream) -> Result<(), Error> {
        let Ok(opening) = timeout(FIRST_WORDS, stream.receive::<Opening>()).await else { return Ok(()) };
        match opening? {
            Some(Opening::Session) => self.session(stream).await,
            Some(Opening::Fetch(fetch)) => Ok(farm_exchange::serve(&self.farm.store, fetch, stream).await?),
            Some(Opening::Agent { lease, id }) => self.agent(stream, lease, &id).await,
            None => Ok(()),
        }
    }

    async fn session(&self, stream: Stream) -> Result<(), Error> {
        let Ok(_only) = self.in_session.try_lock() else {
            return Err(Error::NotAllowed(format!("worker `{}` opened a second session", self.worker)));
        };
        let (mut sender, mut receiver) = stream.split();
        let Some(hello) = receiver.receive::<WorkerMessage>().await? else { return Ok(()) };
        let connection = Some(self.connection.clone());
        let (session, mut outbox) = Session::open(&self.farm, self.worker.clone(), connection, hello).await?;
        let speak = async {
            while let Some(message) = outbox.recv().await {
                sender.send(&message).await?;
            }
            Ok::<_, Error>(())
        };
        let listen = async {
            while let Some(message) = receiver.receive::<WorkerMessage>().await? {
                session.hear(message).await?;
            }
            Ok(())
        };
        let ended = tokio::select! {
            ended = speak => ended,
            ended = listen => ended,
        };
        session.close().await;
        // The end of the session is the end of the worker.
        let reason =
            ended.as_ref().err().map_or_else(|| "the session is over".to_owned(), ToString::to_string);
        self.connection.close(&reason);
        ended
    }

    /// Connects a worker's step with the agent of the client whose step it is.
    async fn agent(&self, stream: Stream, lease: LeaseId, id: &str) -> Result<(), Error> {
        let Some(client) = self.farm.dispatch.client_of(&self.worker, lease).await else {
            return Err(Error::NotAllowed(format!(
                "worker `{}` asks for an agent without a lease",
                self.worker
            )));
        };
        let Ok(_turn) = self.agents.try_acquire() else {
            return Err(Error::NotAllowed(format!(
                "worker `{}` has {MOST_AGENTS} connections to agents open",
                self.worker
            )));
        };
        let (mut to_client, mut from_client) = client.agent_connection(id).await?;
        let (mut to_worker, mut from_worker) = stream.split();
        let there = async {
            // Either side may end its half first; what it has not read is of no use to anybody.
            let _ended = tokio::io::copy(&mut from_worker, &mut to_client).await;
            let _ended = to_client.shutdown().await;
        };
        let back = async {
            let _ended = tokio::io::copy(&mut from_client, &mut to_worker).await;
            let _ended = to_worker.shutdown().await;
        };
        tokio::join!(there, back);
        Ok(())
    }
}
