//! One session with a worker: what it says is believed only as far as it was asked.
//!
//! Output goes straight to the log of the flight under whose lease it comes, records into the store; the rest goes to the
//! dispatcher. A session that ends, however it does, tells the dispatcher that its worker is gone.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farm_model::event::Blame;
use farm_model::{DirectoryDigest, LeaseId, WorkerId};
use farm_proto::message::Made;
use farm_proto::{CoordinatorMessage, Failure, Outcome, WorkerMessage};
use farm_store::Store;
use farm_transport::Connection;
use farm_tree::encoding::{decode, record_digest};
use farm_tree::{Entry, Node, Tree};
use tokio::sync::{mpsc, oneshot};

use super::{Hello, OUTBOX, Place};
use crate::Error;
use crate::build::{Farm, blocking};
use crate::dispatch::{Dispatch, Entry as LogEntry, Report};

/// The longest warning that is passed on, in bytes.
const MOST_WARNING: usize = 4096;

/// Serves the worker in this process, which shares the store, until one of the channels closes.
pub(crate) async fn local(
    farm: &Farm,
    worker: WorkerId,
    commands: mpsc::Sender<CoordinatorMessage>,
    reports: mpsc::Receiver<WorkerMessage>,
) {
    let name = worker.clone();
    if let Err(error) = converse(farm, worker, commands, reports).await {
        tracing::error!(worker = %name, %error, "the session with the worker in this process ended early");
    }
}

async fn converse(
    farm: &Farm,
    worker: WorkerId,
    commands: mpsc::Sender<CoordinatorMessage>,
    mut reports: mpsc::Receiver<WorkerMessage>,
) -> Result<(), Error> {
    let Some(hello) = reports.recv().await else { return Ok(()) };
    let (session, mut outbox) = Session::open(farm, worker, None, hello).await?;
    let speak = async {
        while let Some(message) = outbox.recv().await {
            if commands.send(message).await.is_err() {
                break;
            }
        }
    };
    let listen = async {
        while let Some(message) = reports.recv().await {
            session.hear(message).await?;
        }
        Ok(())
    };
    let ended = tokio::select! {
        () = speak => Ok(()),
        ended = listen => ended,
    };
    session.close().await;
    ended
}

/// A session that was opened with a hello.
pub(super) struct Session {
    dispatch: Dispatch,
    store: Store,
    worker: WorkerId,
    number: u64,
    place: Place,
    /// Leases whose start was told: it counts once.
    started: Mutex<BTreeSet<LeaseId>>,
}

impl Session {
    /// Opens the session of `worker` with its first message; what is to be said to it comes out of the receiver, which
    /// ends when the worker has come back in another session.
    pub(super) async fn open(
        farm: &Farm,
        worker: WorkerId,
        connection: Option<Connection>,
        hello: WorkerMessage,
    ) -> Result<(Self, mpsc::Receiver<CoordinatorMessage>), Error> {
        let WorkerMessage::Hello { slots, most, platform, labels, address, running } = hello else {
            return Err(confused(&worker, "it spoke before it said hello"));
        };
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let place = if connection.is_none() { Place::Here } else { Place::Elsewhere };
        let hello = Hello { slots, most, platform, labels, address, running, connection, outbox };
        let (dispatch, store) = (farm.dispatch.clone(), farm.store.clone());
        let number = dispatch.workers().session();
        let (taken, told) = oneshot::channel();
        let joined =
            Report::Joined { worker: worker.clone(), session: number, hello: Box::new(hello), taken };
        dispatch.report(joined).await;
        // What it reports next is under leases that are known only then. The dispatcher goes when the coordinator does.
        let _ending = told.await;
        Ok((Self { dispatch, store, worker, number, place, started: Mutex::default() }, messages))
    }

    /// Takes in what the worker says.
    pub(super) async fn hear(&self, message: WorkerMessage) -> Result<(), Error> {
        match message {
            WorkerMessage::Hello { .. } => return Err(confused(&self.worker, "it said hello twice")),
            WorkerMessage::Started { lease } => {
                if let Some(log) = self.dispatch.log_of(&self.worker, lease)
                    && self.started().insert(lease)
                {
                    log.push(LogEntry::Started { worker: self.worker.clone() });
                }
            }
            WorkerMessage::Logged { lease, stream, bytes } => {
                if let Some(log) = self.dispatch.log_of(&self.worker, lease) {
                    log.logged(stream, bytes).await;
                }
            }
            WorkerMessage::Warned { lease, mut message } => {
                if let Some(log) = self.dispatch.log_of(&self.worker, lease) {
                    let end = (0..=MOST_WARNING.min(message.len()))
                        .rev()
                        .find(|end| message.is_char_boundary(*end));
                    message.truncate(end.unwrap_or_default());
                    log.warned(message);
                }
            }
            WorkerMessage::Records { lease, records } => {
                if self.dispatch.log_of(&self.worker, lease).is_some() {
                    self.keep_records(records).await?;
                }
            }
            WorkerMessage::Machine(load) => {
                self.dispatch.workers().measured(&self.worker, self.number, load);
            }
            WorkerMessage::Fetched { lease, bytes, micros } => {
                if let Some(log) = self.dispatch.log_of(&self.worker, lease) {
                    log.push(LogEntry::Fetched { bytes, micros });
                }
            }
            WorkerMessage::Finished { lease, outcome } => {
                // What a late report made is not even looked at; the scheduler still hears that the lease has ended.
                let known = self.dispatch.log_of(&self.worker, lease).is_some();
                let outcome = if known { self.checked(outcome).await? } else { Outcome::Cancelled };
                self.started().remove(&lease);
                self.say(WorkerMessage::Finished { lease, outcome }).await;
            }
            WorkerMessage::Heartbeat { .. }
            | WorkerMessage::Load { .. }
            | WorkerMessage::Bandwidth { .. }
            | WorkerMessage::Holdings { .. } => self.say(message).await,
        }
        Ok(())
    }

    /// Ends the session.
    pub(super) async fn close(self) {
        let lost = Report::Lost { worker: self.worker, session: self.number };
        self.dispatch.report(lost).await;
    }

    fn started(&self) -> MutexGuard<'_, BTreeSet<LeaseId>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn say(&self, message: WorkerMessage) {
        let report = Report::Said { worker: self.worker.clone(), session: self.number, message };
        self.dispatch.report(report).await;
    }

    /// Keeps directory records, each of whose subdirectories is here already.
    async fn keep_records(&self, records: Vec<Vec<u8>>) -> Result<(), Error> {
        let (store, worker) = (self.store.clone(), self.worker.clone());
        blocking(move || {
            for bytes in &records {
                let digest = record_digest(bytes);
                let entries =
                    decode(bytes).map_err(|_| confused(&worker, "it sent a malformed directory"))?;
                for entry in entries.values() {
                    if let Entry::Node(Node::Directory(directory)) = entry
                        && !store.has_record(&directory.record.digest)?
                    {
                        return Err(confused(&worker, "it sent a directory before what is in it"));
                    }
                }
                store.put_record_bytes(&digest, bytes)?;
            }
            Ok(())
        })
        .await
    }

    /// An outcome whose layer, if it has one, is known here.
    async fn checked(&self, outcome: Outcome) -> Result<Outcome, Error> {
        let Outcome::Success { layer: Some(made), .. } = &outcome else { return Ok(outcome) };
        if self.place == Place::Here {
            return Ok(outcome);
        }
        let (store, made) = (self.store.clone(), made.clone());
        let kept = blocking(move || keep_tree(&store, &made)).await?;
        Ok(match kept {
            Kept::Yes => outcome,
            Kept::No(why) => Outcome::Failure(Failure {
                blame: Blame::Internal,
                message: format!("worker `{}` reported a layer that {why}", self.worker),
                hint: None,
                lost: Vec::new(),
            }),
        })
    }
}

/// Whether a reported tree was kept.
enum Kept {
    Yes,
    No(&'static str),
}

fn keep_tree(store: &Store, made: &Made) -> Result<Kept, Error> {
    let Ok(tree) = Tree::decode(&made.tree) else { return Ok(Kept::No("cannot be read")) };
    if tree.layer_ref() != made.layer {
        return Ok(Kept::No("is not what its name says"));
    }
    let root: DirectoryDigest = tree.root.record.digest;
    if !store.has_record(&root)? {
        return Ok(Kept::No("lacks directories"));
    }
    match store.put_encoded_tree(&made.tree) {
        Ok(_) => Ok(Kept::Yes),
        Err(farm_store::Error::Tree(_) | farm_store::Error::Malformed { .. }) => {
            Ok(Kept::No("says of its directories what is not so"))
        }
        Err(error) => Err(error.into()),
    }
}

fn confused(worker: &WorkerId, what: &str) -> Error {
    Error::NotAllowed(format!("worker `{worker}` does not keep to the protocol: {what}"))
}
