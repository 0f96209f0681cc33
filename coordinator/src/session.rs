//! What a build asks of the client that wants it: files, secrets, agents, and to write results.
//!
//! Each question is a stream of its own. A question to a client whose connection is lost waits for it to come back, for as
//! long as the build does, and is then put again; so every question can be put twice.

use std::time::Duration;

use farm_model::{BlobDigest, BuildId, ContextName, DirectoryDigest};
use farm_proto::blob::MOST_ITEMS;
use farm_proto::session::{Answer, Ask, Question};
use farm_proto::transfer::ExportedImage;
use farm_proto::{Agent, Secret};
use farm_store::Store;
use farm_transport::{Connection, Receiver, Sender};
use farm_tree::Tree;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Error;
use crate::build::Paths;
use crate::builds::GRACE;

/// How long a client may take for an answer that costs it next to nothing.
const SHORT: Duration = Duration::from_secs(60);
/// Between two attempts to reach a client whose connection was lost.
const PAUSE: Duration = Duration::from_millis(20);

/// The way to the client of one build.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    build: BuildId,
    client: watch::Receiver<Connection>,
    paths: Paths,
}

/// A local directory as it was when it was scanned.
#[derive(Clone, Debug)]
pub(crate) struct Scanned {
    /// Its tree; the records are still the client's.
    pub(crate) tree: Tree,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Places of contents on the client, by position in what was asked for.
pub(crate) type Located = Vec<Option<Vec<u8>>>;

impl Session {
    pub(crate) fn new(build: BuildId, client: watch::Receiver<Connection>, paths: Paths) -> Self {
        Self { build, client, paths }
    }

    /// Whether paths of the client can be read here.
    pub(crate) fn paths(&self) -> Paths {
        self.paths
    }

    /// Has a context scanned. It takes as long as it takes.
    pub(crate) async fn scan(&self, context: &ContextName, paths: Vec<String>) -> Result<Scanned, Error> {
        let failed = |reason: String, hint| Error::Context { context: context.clone(), reason, hint };
        let answer = self.answer(Ask::Scan { context: context.clone(), paths }, None).await?;
        if let Answer::Failed { reason, hint } = answer {
            return Err(failed(reason, hint));
        }
        let Answer::Scanned { tree, files, bytes } = answer else { return Err(unexpected("scan", &answer)) };
        let tree = Tree::decode(&tree).map_err(|error| failed(error.to_string(), None))?;
        Ok(Scanned { tree, files, bytes })
    }

    /// Brings records of the last scan into the store; gives those that the client did not have.
    pub(crate) async fn records(
        &self,
        store: &Store,
        context: &ContextName,
        digests: &[DirectoryDigest],
    ) -> Result<Vec<DirectoryDigest>, Error> {
        let mut absent = Vec::new();
        for digests in digests.chunks(MOST_ITEMS) {
            let ask = Ask::Records { context: context.clone(), digests: digests.to_vec() };
            absent.extend(loop {
                let (_asked, receiver) = self.open(&ask).await?;
                match farm_exchange::take_records(store, receiver, digests).await {
                    Ok(absent) => break absent,
                    Err(error) => self.again(error).await?,
                }
            });
        }
        Ok(absent)
    }

    /// Brings contents of the last scan into the store; gives those that have changed since.
    pub(crate) async fn blobs(
        &self,
        store: &Store,
        context: &ContextName,
        blobs: &[BlobDigest],
    ) -> Result<Vec<BlobDigest>, Error> {
        let mut absent = Vec::new();
        for blobs in blobs.chunks(MOST_ITEMS) {
            let ask = Ask::Blobs { context: context.clone(), blobs: blobs.to_vec() };
            absent.extend(loop {
                let (_asked, receiver) = self.open(&ask).await?;
                match farm_exchange::take_blobs(store, receiver, blobs).await {
                    Ok(absent) => break absent,
                    Err(error) => self.again(error).await?,
                }
            });
        }
        Ok(absent)
    }

    /// Where contents of the last scan lie on the client.
    pub(crate) async fn locate(&self, context: &ContextName, blobs: &[BlobDigest]) -> Result<Located, Error> {
        let mut all = Vec::with_capacity(blobs.len());
        for blobs in blobs.chunks(MOST_ITEMS) {
            let ask = Ask::Locate { context: context.clone(), blobs: blobs.to_vec() };
            let answer = self.answer(ask, Some(SHORT)).await?;
            let Answer::Located(paths) = &answer else { return Err(unexpected("locate", &answer)) };
            if paths.len() != blobs.len() {
                return Err(unexpected("locate", &answer));
            }
            all.extend_from_slice(paths);
        }
        Ok(all)
    }

    /// The value of a secret; none when the client was not given one of that name.
    pub(crate) async fn secret(&self, id: &str) -> Result<Option<Secret>, Error> {
        let answer = self.answer(Ask::Secret { id: id.to_owned() }, Some(SHORT)).await?;
        if let Answer::Failed { reason, hint } = answer {
            return Err(Error::Secret { id: id.to_owned(), reason, hint });
        }
        if let Answer::Secret(value) = answer { Ok(value) } else { Err(unexpected("secret", &answer)) }
    }

    /// How a worker reaches an SSH agent; none when the client was not given one of that name.
    pub(crate) async fn agent(&self, id: &str) -> Result<Option<Agent>, Error> {
        let id = id.to_owned();
        let answer = self.answer(Ask::Agent { id: id.clone() }, Some(SHORT)).await?;
        let Answer::Agent(path) = answer else { return Err(unexpected("agent", &answer)) };
        Ok(path.map(|path| match self.paths {
            Paths::Honoured => Agent::Path(path),
            Paths::Refused => Agent::Client { id },
        }))
    }

    /// One connection to an SSH agent: raw bytes both ways.
    pub(crate) async fn agent_connection(&self, id: &str) -> Result<(Sender, Receiver), Error> {
        self.open(&Ask::AgentConnection { id: id.to_owned() }).await
    }

    /// Tells of an image that was put together.
    pub(crate) async fn exported(&self, image: ExportedImage) -> Result<(), Error> {
        let answer = self.answer(Ask::Exported(image), Some(SHORT)).await?;
        if answer == Answer::Noted { Ok(()) } else { Err(unexpected("exported", &answer)) }
    }

    /// Puts a question, and leaves what follows to the caller.
    pub(crate) async fn open(&self, ask: &Ask) -> Result<(Sender, Receiver), Error> {
        loop {
            match self.open_once(ask).await {
                Ok(stream) => return Ok(stream),
                Err(error) => self.again(error).await?,
            }
        }
    }

    /// After a question failed: returns when it may be put again.
    pub(crate) async fn again(&self, error: impl Into<Error>) -> Result<(), Error> {
        let error = error.into();
        if !error.is_connection_lost() {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
        self.connection().await.map(drop)
    }

    async fn open_once(&self, ask: &Ask) -> Result<(Sender, Receiver), Error> {
        let stream = self.connection().await?.open().await?;
        let (mut sender, receiver) = stream.split();
        sender.send(&Question { build: self.build, ask: ask.clone() }).await?;
        Ok((sender, receiver))
    }

    async fn answer(&self, ask: Ask, deadline: Option<Duration>) -> Result<Answer, Error> {
        loop {
            let answered = self.answer_once(&ask);
            let answered = match deadline {
                Some(deadline) => timeout(deadline, answered)
                    .await
                    .unwrap_or_else(|_| Err(Error::ClientSilent { asked: asked(&ask), deadline })),
                None => answered.await,
            };
            match answered {
                Ok(answer) => return Ok(answer),
                Err(error) => self.again(error).await?,
            }
        }
    }

    async fn answer_once(&self, ask: &Ask) -> Result<Answer, Error> {
        let (mut sender, mut receiver) = self.open_once(ask).await?;
        sender.finish()?;
        receiver.receive().await?.ok_or_else(|| Error::ClientConfused(asked(ask)))
    }

    /// The connection of the client, which may be on its way back.
    async fn connection(&self) -> Result<Connection, Error> {
        let mut client = self.client.clone();
        match timeout(GRACE, client.wait_for(|client| !client.is_closed())).await {
            Ok(Ok(client)) => Ok(client.clone()),
            Ok(Err(_)) | Err(_) => Err(Error::ClientGone),
        }
    }
}

/// What a question is about, for messages.
fn asked(ask: &Ask) -> String {
    match ask {
        Ask::Scan { context, .. } => format!("the scan of context `{context}`"),
        Ask::Records { context, .. } => format!("the directories of context `{context}`"),
        Ask::Locate { context, .. } | Ask::Blobs { context, .. } => {
            format!("the files of context `{context}`")
        }
        Ask::Secret { id } => format!("secret `{id}`"),
        Ask::Agent { id } | Ask::AgentConnection { id } => format!("ssh agent `{id}`"),
        Ask::LayoutFile { layout, file } => format!("`{file}` of the OCI layout `{layout}`"),
        Ask::Output { index, .. } => format!("output {index}"),
        Ask::Exported(_) => "taking note of an image".to_owned(),
    }
}

fn unexpected(question: &str, answer: &Answer) -> Error {
    // A secret does not print itself, and paths are no secrets.
    tracing::debug!(question, ?answer, "an answer does not belong to its question");
    Error::ClientConfused(question.to_owned())
}
