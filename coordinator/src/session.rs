//! What a build asks of the client that wants it: files, secrets and agents.
//!
//! The requests travel over a channel, each with the place for its answer. A client that is gone closes the channel, and
//! every question to it fails from then on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use farm_model::{BlobDigest, ContextName};
use farm_proto::Secret;
use farm_tree::{MemoryRecords, Tree};
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// A local directory as it was when it was scanned.
#[derive(Debug)]
pub struct ScannedContext {
    /// Its tree; every file is owned by root.
    pub tree: Tree,
    /// The records of the tree.
    pub records: MemoryRecords,
}

/// A question to the client.
#[derive(Debug)]
pub enum SessionRequest {
    /// Scan a context; only what lies at or below `paths` is needed, all of it when one of them is empty.
    Scan {
        /// Which context.
        context: ContextName,
        /// Paths below its root.
        paths: Vec<String>,
        /// The tree, or why it cannot be had.
        reply: oneshot::Sender<Result<ScannedContext, String>>,
    },
    /// Where files with these contents were seen; a file may have changed since, so its bytes are hashed again.
    Locate {
        /// Which context.
        context: ContextName,
        /// The contents.
        blobs: Vec<BlobDigest>,
        /// A path for each content that was seen.
        reply: oneshot::Sender<BTreeMap<BlobDigest, PathBuf>>,
    },
    /// The value of a secret; none when the client was not given one of that name.
    Secret {
        /// Its id.
        id: String,
        /// The value, or why it cannot be read.
        reply: oneshot::Sender<Result<Option<Secret>, String>>,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// Its id.
        id: String,
        /// The socket's path on the client.
        reply: oneshot::Sender<Option<PathBuf>>,
    },
}

/// The way to one client.
#[derive(Clone, Debug)]
pub struct Session {
    requests: mpsc::Sender<SessionRequest>,
}

impl Session {
    /// A session whose questions come out of the receiver.
    pub fn new() -> (Self, mpsc::Receiver<SessionRequest>) {
        let (requests, receiver) = mpsc::channel(16);
        (Self { requests }, receiver)
    }

    pub(crate) async fn scan(
        &self,
        context: &ContextName,
        paths: Vec<String>,
    ) -> Result<ScannedContext, Error> {
        let context_name = context.clone();
        let answer = self.ask(|reply| SessionRequest::Scan { context: context_name, paths, reply }).await?;
        answer.map_err(|reason| Error::Context { context: context.clone(), reason })
    }

    pub(crate) async fn locate(
        &self,
        context: &ContextName,
        blobs: Vec<BlobDigest>,
    ) -> Result<BTreeMap<BlobDigest, PathBuf>, Error> {
        let context = context.clone();
        self.ask(|reply| SessionRequest::Locate { context, blobs, reply }).await
    }

    pub(crate) async fn secret(&self, id: &str) -> Result<Option<Secret>, Error> {
        let name = id.to_owned();
        let answer = self.ask(|reply| SessionRequest::Secret { id: name, reply }).await?;
        answer.map_err(|reason| Error::Secret { id: id.to_owned(), reason })
    }

    pub(crate) async fn ssh(&self, id: &str) -> Result<Option<PathBuf>, Error> {
        let id = id.to_owned();
        self.ask(|reply| SessionRequest::Ssh { id, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> SessionRequest) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Error::ClientGone)?;
        answer.await.map_err(|_| Error::ClientGone)
    }
}
