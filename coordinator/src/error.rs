//! Why a build ended without an image, and whose move it is.

use std::path::PathBuf;
use std::sync::Arc;

use farm_dockerfile::Diagnostic;
use farm_model::{ContextName, Exit};
use farm_proto::Failure;

/// Whose move it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The Dockerfile is wrong.
    Dockerfile,
    /// A step failed.
    Build,
    /// The machine, the network or a registry.
    Environment,
    /// A bug of ours.
    Internal,
    /// Nobody waits for the build any more.
    Cancelled,
}

/// Why a build ended without an image.
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
    /// The worker is gone.
    #[error("the worker is gone")]
    WorkerGone,
    /// The client is gone.
    #[error("the client is gone")]
    ClientGone,
    /// A context cannot be read.
    #[error("cannot read context `{context}`: {reason}")]
    Context {
        /// Which one.
        context: ContextName,
        /// Why.
        reason: String,
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
    /// The step was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A task of ours panicked.
    #[error("a part of the build panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// Whose move it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Dockerfile(_) => Blame::Dockerfile,
            Self::Process { .. }
            | Self::ContextChanges(_)
            | Self::SecretMissing(_)
            | Self::SshMissing(_)
            | Self::Secret { .. }
            | Self::User(_) => Blame::Build,
            Self::Step { source, .. } => source.blame(),
            Self::Image { source, .. } | Self::Oci(source) => oci_blame(source),
            Self::Store(error) if error.is_environment() => Blame::Environment,
            Self::Tree(error) => {
                if error.is_internal() {
                    Blame::Internal
                } else {
                    Blame::Build
                }
            }
            Self::Worker(failure) => match failure.blame {
                farm_proto::Blame::User => Blame::Build,
                farm_proto::Blame::Environment => Blame::Environment,
                farm_proto::Blame::Internal => Blame::Internal,
            },
            Self::ClientGone | Self::Cancelled => Blame::Cancelled,
            Self::Context { .. } | Self::State { .. } => Blame::Environment,
            Self::Store(_) | Self::WorkerGone | Self::NotPlanned(_) | Self::Panicked(_) => Blame::Internal,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dockerfile(diagnostic) => diagnostic.hint.clone(),
            Self::Step { source, .. } => source.hint(),
            Self::Image { source, .. } | Self::Oci(source) => source.hint(),
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Tree(error) => error.hint().map(str::to_owned),
            Self::Worker(failure) => failure.hint.clone(),
            Self::ContextChanges(_) => {
                Some("stop what writes to the context, or ignore it in .dockerignore".to_owned())
            }
            Self::SecretMissing(id) => Some(format!("give it with `--secret id={id},src=FILE`")),
            Self::SshMissing(id) => Some(format!("give it with `--ssh {id}`")),
            Self::Process { exit: Exit::OutOfMemory, .. } => {
                Some("raise the memory limit of the step or of the machine".to_owned())
            }
            Self::Process { exit: Exit::Code(127), .. } => {
                Some("the command, or the interpreter it names, is not in the image".to_owned())
            }
            Self::Process { .. }
            | Self::WorkerGone
            | Self::ClientGone
            | Self::Context { .. }
            | Self::Secret { .. }
            | Self::State { .. }
            | Self::User(_)
            | Self::NotPlanned(_)
            | Self::Cancelled
            | Self::Panicked(_) => None,
        }
    }

    /// The step that failed and its lines in the Dockerfile.
    pub fn step(&self) -> Option<(&str, Option<(u32, u32)>)> {
        if let Self::Step { step, lines, .. } = self { Some((step, *lines)) } else { None }
    }

    /// Says in which step it happened, unless a step is named already.
    pub(crate) fn in_step(self, step: &farm_model::Step) -> Self {
        if matches!(self, Self::Step { .. } | Self::Cancelled | Self::Dockerfile(_)) {
            return self;
        }
        Self::Step { step: step.name.clone(), lines: step.lines, source: Box::new(self) }
    }
}

fn oci_blame(error: &farm_oci::Error) -> Blame {
    match error.blame() {
        farm_oci::Blame::User => Blame::Build,
        farm_oci::Blame::Environment => Blame::Environment,
        farm_oci::Blame::Internal => Blame::Internal,
    }
}

impl From<farm_dockerfile::Error> for Error {
    fn from(error: farm_dockerfile::Error) -> Self {
        Self::Dockerfile(Box::new(error.diagnostic().clone()))
    }
}

impl From<farm_store::Error> for Error {
    fn from(error: farm_store::Error) -> Self {
        // What the store reads of a tree may be the image's fault.
        if let farm_store::Error::Tree(error) = error { error.into() } else { Self::Store(Arc::new(error)) }
    }
}

impl From<farm_tree::Error> for Error {
    fn from(error: farm_tree::Error) -> Self {
        // A full disk under a tree is the store's failure, and the environment's.
        let farm_tree::Error::Store(source) = error else { return Self::Tree(Arc::new(error)) };
        match source.downcast::<farm_store::Error>() {
            Ok(error) => Self::Store(Arc::new(*error)),
            Err(source) => Self::Tree(Arc::new(farm_tree::Error::Store(source))),
        }
    }
}

impl From<farm_oci::Error> for Error {
    fn from(error: farm_oci::Error) -> Self {
        Self::Oci(Arc::new(error))
    }
}
