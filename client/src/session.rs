//! Answering what a build asks of the client that wants it. Each question is a stream of its own, and none waits for
//! another.
//!
//! Only what the command line gave to the build is answered: its contexts without what is ignored, its secrets, agents
//! and layouts, by their names.

mod agent;
mod items;
mod layout;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use farm_model::{BlobDigest, BuildId, ContextName, DirectoryDigest, causes};
use farm_proto::client::{BuildRequest, Form, NamedContext};
use farm_proto::session::{Answer, Ask, Question};
use farm_proto::transfer::ExportedImage;
use farm_transport::{Sender, Stream};

pub use secret::SecretSource;

use crate::output::{self, Destination, Torn};
use crate::{Context, Error, Scan};

/// What the command line gives a build access to.
#[derive(Debug, Default)]
pub struct Answers {
    /// Local directories, by the name of their context.
    pub contexts: BTreeMap<ContextName, Context>,
    /// Secrets, by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sockets of SSH agents, by id.
    pub agents: BTreeMap<String, PathBuf>,
    /// Where the outputs of the request go, in their order.
    pub outputs: Vec<Destination>,
    /// The images that outputs put together, as the coordinator tells of them.
    pub exported: Exported,
    /// A context that came over standard input; removed when the build ends.
    pub root: Option<tempfile::TempDir>,
}

/// What the last output of a build put together; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Exported(Arc<Mutex<Option<ExportedImage>>>);

impl Exported {
    /// What the last output put together.
    pub fn last(&self) -> Option<ExportedImage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, image: ExportedImage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(image);
    }
}

/// A build's questions and what is known to answer them.
pub(crate) struct Session {
    build: BuildId,
    answers: Answers,
    /// Layouts as the request names them: the only directories whose files are given out.
    layouts: BTreeSet<String>,
    forms: Vec<Form>,
    scans: Mutex<BTreeMap<ContextName, Arc<Scan>>>,
    /// What went to standard output already.
    torn: Arc<Torn>,
}

impl Session {
    pub(crate) fn new(request: &BuildRequest, answers: Answers) -> Self {
        let layout = |context: &NamedContext| match context {
            NamedContext::OciLayout { path, .. } => Some(path.clone()),
            NamedContext::Local | NamedContext::Image(_) => None,
        };
        Self {
            build: request.build,
            answers,
            layouts: request.contexts.values().filter_map(layout).collect(),
            forms: request.outputs.iter().map(|output| output.form).collect(),
            scans: Mutex::default(),
            torn: Arc::default(),
        }
    }

    /// Reads the question of `stream` and answers it.
    pub(crate) async fn answer(self: Arc<Self>, mut stream: Stream) -> Result<(), Error> {
        let Some(Question { build, ask }) = stream.receive().await? else { return Ok(()) };
        let (mut sender, receiver) = stream.split();
        if build != self.build {
            let error = Error::NotGiven { what: "question about a build", name: build.to_string() };
            return say(sender, failed(&error)).await;
        }
        match ask {
            Ask::Scan { context, paths } => {
                let answer = self.scan(context, paths).await.unwrap_or_else(|error| failed(&error));
                say(sender, answer).await
            }
            Ask::Records { context, digests } => self.records(&context, &digests, sender).await,
            Ask::Locate { context, blobs } => say(sender, self.locate(&context, &blobs)).await,
            Ask::Blobs { context, blobs } => items::blobs(self.last_scan(&context), blobs, sender).await,
            Ask::Secret { id } => say(sender, self.secret(&id)).await,
            Ask::Agent { id } => {
                let path = self.answers.agents.get(&id).and_then(|path| path.to_str()).map(str::to_owned);
                say(sender, Answer::Agent(path)).await
            }
            Ask::AgentConnection { id } => match self.answers.agents.get(&id) {
                Some(path) => agent::splice(path, sender, receiver).await,
                None => Err(Error::NotGiven { what: "agent", name: id }),
            },
            Ask::LayoutFile { layout, file } => {
                if self.layouts.contains(&layout) {
                    return layout::send(Path::new(&layout), &file, sender).await;
                }
                sender.absent().await?;
                Ok(sender.finish()?)
            }
            Ask::Output { index, image: _ } => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if let (Some(form), Some(destination)) =
                    (self.forms.get(index), self.answers.outputs.get(index))
                {
                    return output::receive(*form, destination, &self.torn, sender, receiver).await;
                }
                say(sender, failed(&Error::NotGiven { what: "output", name: index.to_string() })).await
            }
            Ask::Exported(image) => {
                self.answers.exported.note(image);
                say(sender, Answer::Noted).await
            }
        }
    }

    /// Scans a context, and remembers what was found for the questions that follow.
    async fn scan(&self, name: ContextName, paths: Vec<String>) -> Result<Answer, Error> {
        let missing = || Error::NotGiven { what: "context", name: name.0.clone() };
        let context = self.answers.contexts.get(&name).cloned().ok_or_else(missing)?;
        let scan = tokio::task::spawn_blocking(move || context.scan(&paths))
            .await
            .map_err(|panic| Error::Panicked(panic.to_string()))??;
        let answer = Answer::Scanned { tree: scan.tree.encode(), files: scan.files, bytes: scan.bytes };
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        scans.insert(name, Arc::new(scan));
        Ok(answer)
    }

    fn last_scan(&self, name: &ContextName) -> Option<Arc<Scan>> {
        self.scans.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn records(
        &self,
        context: &ContextName,
        digests: &[DirectoryDigest],
        mut sender: Sender,
    ) -> Result<(), Error> {
        let scan = self.last_scan(context);
        for digest in digests {
            match scan.as_ref().and_then(|scan| scan.record(*digest)) {
                Some(record) => sender.item(record).await?,
                None => sender.absent().await?,
            }
        }
        Ok(sender.finish()?)
    }

    fn locate(&self, context: &ContextName, blobs: &[BlobDigest]) -> Answer {
        use std::os::unix::ffi::OsStringExt as _;
        let scan = self.last_scan(context);
        let path = |blob| Some(scan.as_ref()?.path_of(blob)?.into_os_string().into_vec());
        Answer::Located(blobs.iter().map(path).collect())
    }

    fn secret(&self, id: &str) -> Answer {
        match self.answers.secrets.get(id).map(SecretSource::read) {
            None => Answer::Secret(None),
            Some(Ok(secret)) => Answer::Secret(Some(secret)),
            Some(Err(error)) => failed(&error),
        }
    }
}

/// An answer that says why there is none.
pub(crate) fn failed(error: &Error) -> Answer {
    Answer::Failed { reason: causes(error), hint: error.hint().map(str::to_owned) }
}

/// Sends the one answer to a question.
pub(crate) async fn say(mut sender: Sender, answer: Answer) -> Result<(), Error> {
    sender.send(&answer).await?;
    Ok(sender.finish()?)
}
