//! Why a build, or a request, came to nothing, and whose move it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farm_dockerfile::Diagnostic;
use farm_model::event::Blame;
use farm_model::{BuildId, ContextName, Exit, LayerDigest, OciDigest, StepId, WorkerId};
use farm_proto::Failure;

mod convert;
mod hint;

/// Why a build or a request came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile cannot be built as it is.
    #[error("{}", .0.message)]
    Dockerfile(Box<Diagnostic>),
    /// A command ended with failure.
    #[error("process `{command}` did not complete successfully: {exit}")]
    Process {
        /// The command in one line.
        command: String,
        /// How it ended.
        exit: Exit,
    },
    /// A step failed.
    #[error("{source}")]
    Step {
        /// The step as progress shows it.
        step: String,
        /// Its lines in the Dockerfile.
        lines: Option<(u32, u32)>,
        /// Why.
        source: Box<Error>,
    },
    /// An image cannot be had.
    #[error("{image}: {source}")]
    Image {
        /// As the Dockerfile names it.
        image: String,
        /// Why.
        source: Arc<farm_oci::Error>,
    },
    /// Something else at the border failed: an archive, a download.
    #[error(transparent)]
    Oci(Arc<farm_oci::Error>),
    /// The store failed.
    #[error(transparent)]
    Store(Arc<farm_store::Error>),
    /// An operation on trees failed.
    #[error(transparent)]
    Tree(Arc<farm_tree::Error>),
    /// A worker could not do its task.
    #[error("{}", .0.message)]
    Worker(Failure),
    /// Nobody in the farm can do a task.
    #[error("no worker of the farm can do this: {0}")]
    NoWorker(String),
    /// Bytes of layers were found nowhere any more: what made them has to be done again.
    #[error("the bytes of {} are nowhere in the farm any more", layers(.0.len()))]
    LayerLost(Vec<LayerDigest>),
    /// The compressed bytes of a base layer are wanted, and were not kept.
    #[error("the compressed base layer `{digest}` is not kept any more, and {}", gone(cause.as_deref()))]
    BaseBlobGone {
        /// Which one.
        digest: OciDigest,
        /// What the last registry said that once had it; none where no registry is known.
        cause: Option<Arc<farm_oci::Error>>,
    },
    /// The client is gone.
    #[error("the client is gone")]
    ClientGone,
    /// The client does not answer.
    #[error("the client did not answer within {} seconds, asked for {asked}", deadline.as_secs())]
    ClientSilent {
        /// For what.
        asked: String,
        /// For how long it was waited for.
        deadline: Duration,
    },
    /// The client answers something else than it was asked.
    #[error("the client gave no proper answer, asked for {0}")]
    ClientConfused(String),
    /// A connection failed.
    #[error(transparent)]
    Transport(Arc<farm_transport::Error>),
    /// Bytes could not be moved.
    #[error(transparent)]
    Exchange(Arc<farm_exchange::Error>),
    /// A context cannot be read.
    #[error("cannot read context `{context}`: {reason}")]
    Context {
        /// Which one.
        context: ContextName,
        /// Why.
        reason: String,
        /// The way out, when there is one.
        hint: Option<String>,
    },
    /// A result cannot be written.
    #[error("cannot write the output `{output}`: {reason}")]
    Output {
        /// Which one, as the user typed it.
        output: String,
        /// Why.
        reason: String,
        /// The way out, when there is one.
        hint: Option<String>,
    },
    /// The image weighs more than it may.
    #[error("{message}")]
    OverBudget {
        /// By how much, and what makes it heavy; several lines.
        message: String,
        /// What can be done about it.
        hint: String,
    },
    /// A file of a context kept changing while it was read.
    #[error("files of context `{0}` keep changing while they are read")]
    ContextChanges(ContextName),
    /// A secret cannot be read.
    #[error("cannot read secret `{id}`: {reason}")]
    Secret {
        /// Which one.
        id: String,
        /// Why.
        reason: String,
        /// The way out, when there is one.
        hint: Option<String>,
    },
    /// A required secret was not given.
    #[error("secret `{0}` is required but was not given")]
    SecretMissing(String),
    /// A required SSH agent was not given.
    #[error("ssh agent `{0}` is required but was not given")]
    SshMissing(String),
    /// A file of the coordinator's own state.
    #[error("cannot use `{}`: {source}", path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// A name that a step uses cannot be resolved.
    #[error("{0}")]
    User(String),
    /// The plan names something that is not in it.
    #[error("the plan names {0}, which is not in it")]
    NotPlanned(String),
    /// There is no such build.
    #[error("there is no build `{0}`")]
    NoBuild(BuildId),
    /// There is no such image.
    #[error("there is no image `{0}`")]
    NoSuchImage(String),
    /// An image has no such layer.
    #[error("`{image}` has only {layers} layers, numbered from 0")]
    NoSuchLayer {
        /// Which image.
        image: String,
        /// How many it has.
        layers: usize,
    },
    /// An image that was to be removed is pinned.
    #[error("`{0}` is pinned")]
    Pinned(String),
    /// No worker of that name is connected.
    #[error("no worker `{0}` is connected")]
    NoSuchWorker(WorkerId),
    /// A step that was to be moved.
    #[error("stage {}, step {} of build {build} does not run on a worker", step.stage.0, step.index)]
    RunsNowhere {
        /// Of which build.
        build: BuildId,
        /// Which one.
        step: StepId,
    },
    /// Several images have an id that begins like this.
    #[error("several images have an id that begins with `{0}`")]
    AmbiguousImage(String),
    /// An image has nothing to run.
    #[error("`{0}` says no command to run")]
    NoCommand(String),
    /// A step would have to run where nothing is to run; it ends the stage, not the build.
    #[error("the step would have to run")]
    WouldRun,
    /// Somebody else's build.
    #[error("build `{0}` is somebody else's")]
    NotYours(BuildId),
    /// Something that this peer may not ask for.
    #[error("{0}")]
    NotAllowed(String),
    /// An image is kept in a form that this version cannot read.
    #[error("a later version of farm keeps the image `{0}`; this one cannot tell what it needs")]
    NewerImage(String),
    /// No new builds are taken.
    #[error("the coordinator is about to stop and takes no new builds")]
    Stopping,
    /// The step was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A task of ours panicked.
    #[error("a part of the build panicked: {0}")]
    Panicked(String),
}

fn layers(count: usize) -> String {
    if count == 1 { "a layer".to_owned() } else { format!("{count} layers") }
}

fn gone(cause: Option<&farm_oci::Error>) -> String {
    match cause {
        Some(cause) => format!("cannot be had again: failed to {cause}"),
        None => "no registry is known to have it".to_owned(),
    }
}

impl Error {
    /// Whether bytes of the store turned out to be damaged or gone, so that another try makes or finds them anew.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_loss())
            || matches!(self, Self::Oci(error) if error.is_loss())
    }

    /// Whose move it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Dockerfile(_)
            | Self::NoBuild(_)
            | Self::NoSuchImage(_)
            | Self::NoSuchLayer { .. }
            | Self::Pinned(_)
            | Self::NoSuchWorker(_)
            | Self::RunsNowhere { .. }
            | Self::AmbiguousImage(_)
            | Self::NoCommand(_)
            | Self::NotYours(_)
            | Self::NotAllowed(_) => Blame::Usage,
            Self::Process { .. }
            | Self::OverBudget { .. }
            | Self::ContextChanges(_)
            | Self::SecretMissing(_)
            | Self::SshMissing(_)
            | Self::Secret { .. }
            | Self::User(_) => Blame::Build,
            Self::Step { source, .. } => source.blame(),
            Self::Image { source, .. } | Self::Oci(source) => oci_blame(source),
            Self::Store(error) => environment_or_bug(error.is_environment()),
            Self::Exchange(error) => environment_or_bug(error.is_environment()),
            Self::Tree(error) => {
                if error.is_internal() {
                    Blame::Internal
                } else {
                    Blame::Build
                }
            }
            Self::Worker(failure) => failure.blame,
            Self::NoWorker(_)
            | Self::LayerLost(_)
            | Self::BaseBlobGone { .. }
            | Self::ClientGone
            | Self::ClientSilent { .. }
            | Self::ClientConfused(_)
            | Self::Transport(_)
            | Self::Context { .. }
            | Self::Output { .. }
            | Self::State { .. }
            | Self::NewerImage(_)
            | Self::Stopping => Blame::Environment,
            Self::NotPlanned(_) | Self::WouldRun | Self::Cancelled | Self::Panicked(_) => Blame::Internal,
        }
    }

    /// The step that failed and its lines in the Dockerfile.
    pub fn step(&self) -> Option<(&str, Option<(u32, u32)>)> {
        if let Self::Step { step, lines, .. } = self { Some((step, *lines)) } else { None }
    }

    /// What happened, without the step in which it did.
    pub(crate) fn cause(&self) -> &Self {
        if let Self::Step { source, .. } = self { source.cause() } else { self }
    }

    /// Says in which step it happened, unless a step is named already.
    pub(crate) fn in_step(self, step: &farm_model::Step) -> Self {
        if matches!(self, Self::Step { .. } | Self::Cancelled | Self::Dockerfile(_)) {
            return self;
        }
        Self::Step { step: step.name.clone(), lines: step.lines, source: Box::new(self) }
    }

    /// Whether it may go better over another connection to the same peer.
    pub(crate) fn is_connection_lost(&self) -> bool {
        if let Self::Transport(error) = self {
            return error.is_connection_lost();
        }
        let Self::Exchange(error) = self else { return false };
        if let farm_exchange::Error::Connection { source, .. } = &**error {
            return source.is_connection_lost();
        }
        matches!(**error, farm_exchange::Error::Stream(_) | farm_exchange::Error::EndedEarly)
    }
}

fn environment_or_bug(is_environment: bool) -> Blame {
    if is_environment { Blame::Environment } else { Blame::Internal }
}

fn oci_blame(error: &farm_oci::Error) -> Blame {
    match error.blame() {
        farm_oci::Blame::User => Blame::Build,
        farm_oci::Blame::Environment => Blame::Environment,
        farm_oci::Blame::Internal => Blame::Internal,
    }
}
