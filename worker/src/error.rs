//! Why a worker could not do a task, and whose move it is.

use std::io;
use std::path::PathBuf;

use farm_model::LayerDigest;
use farm_proto::{Blame, Failure};

/// What went wrong around a step; a command that fails by itself is no error of the worker's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Store(farm_store::Error),
    #[error("{0}")]
    Tree(farm_tree::Error),
    #[error("{0}")]
    Executor(#[from] farm_executor::Error),
    #[error("failed to {action} `{path}`: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{message}")]
    User { message: String, hint: Option<&'static str> },
    #[error("layer `{0}` is not in the store any more")]
    LayerGone(LayerDigest),
    #[error("layers that the step needs are nowhere to be found: {}", list(.0))]
    Lost(Vec<LayerDigest>),
    #[error("failed to {0}")]
    Exchange(#[from] farm_exchange::Error),
    #[error("the coordinator was away for {0} seconds while layers were fetched from it")]
    CoordinatorAway(u64),
    #[error("a thread of a step panicked: {0}")]
    Panicked(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn into_failure(self) -> Failure {
        let (blame, hint) = match &self {
            Self::Store(error) => (environment_if(error.is_environment()), error.hint().map(str::to_owned)),
            Self::Executor(error) => (blame(error.blame()), error.hint().map(str::to_owned)),
            Self::Io { .. } | Self::CoordinatorAway(_) => (Blame::Environment, None),
            Self::User { hint, .. } => (Blame::Build, hint.map(str::to_owned)),
            Self::Tree(error) => (tree_blame(error), error.hint().map(str::to_owned)),
            Self::LayerGone(_) | Self::Panicked(_) => (Blame::Internal, None),
            Self::Lost(_) => (Blame::Environment, Some("run the build again: they are made anew".to_owned())),
            Self::Exchange(error) => {
                (environment_if(error.is_environment()), error.hint().map(str::to_owned))
            }
        };
        let message = farm_model::causes(&self);
        let lost = if let Self::Lost(layers) = self { layers } else { Vec::new() };
        Failure { blame, message, hint, lost }
    }
}

/// Digests that are worth showing; who wants all of them finds them in the report.
fn list(layers: &[LayerDigest]) -> String {
    const SHOWN: usize = 3;
    let more = layers.len().saturating_sub(SHOWN);
    let shown = layers.iter().take(SHOWN).map(|layer| format!("`{layer}`"));
    shown.chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join(", ")
}

fn environment_if(environment: bool) -> Blame {
    if environment { Blame::Environment } else { Blame::Internal }
}

/// What the image lacks, or where it leads, is the user's to mend.
fn tree_blame(error: &farm_tree::Error) -> Blame {
    if error.is_internal() { Blame::Internal } else { Blame::Build }
}

fn blame(blame: farm_executor::Blame) -> Blame {
    match blame {
        farm_executor::Blame::User => Blame::Build,
        farm_executor::Blame::Environment => Blame::Environment,
        farm_executor::Blame::Internal => Blame::Internal,
    }
}

impl From<farm_store::Error> for Error {
    fn from(error: farm_store::Error) -> Self {
        // What the store reads of a tree may be the image's fault.
        if let farm_store::Error::Tree(error) = error { error.into() } else { Self::Store(error) }
    }
}

impl From<farm_tree::Error> for Error {
    fn from(error: farm_tree::Error) -> Self {
        // A full disk under a tree is the store's failure, and the environment's.
        let farm_tree::Error::Store(source) = error else { return Self::Tree(error) };
        match source.downcast::<farm_store::Error>() {
            Ok(error) => Self::Store(*error),
            Err(source) => Self::Tree(farm_tree::Error::Store(source)),
        }
    }
}
