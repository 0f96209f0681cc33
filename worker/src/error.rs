//! Why a worker could not do a task, and whose move it is.

use std::io;
use std::path::PathBuf;

use farm_proto::{Blame, Failure};

/// What went wrong around a step; a command that fails by itself is no error of the worker's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Store(#[from] farm_store::Error),
    #[error("{0}")]
    Tree(#[from] farm_tree::Error),
    #[error("{0}")]
    Executor(#[from] farm_executor::Error),
    #[error("failed to {action} `{path}`: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{message}")]
    User { message: String, hint: Option<&'static str> },
    #[error("layer `{0}` is not in the store any more")]
    LayerGone(farm_model::LayerDigest),
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
            Self::Io { .. } => (Blame::Environment, None),
            Self::User { hint, .. } => (Blame::User, hint.map(str::to_owned)),
            Self::Tree(error) => (tree_blame(error), error.hint().map(str::to_owned)),
            Self::LayerGone(_) => (Blame::Internal, None),
        };
        Failure { blame, message: chain(&self), hint }
    }
}

fn environment_if(environment: bool) -> Blame {
    if environment { Blame::Environment } else { Blame::Internal }
}

/// What the image lacks, or where it leads, is the user's to mend; only records that do not fit together are ours.
fn tree_blame(error: &farm_tree::Error) -> Blame {
    use farm_tree::Error as Tree;
    let ours = matches!(
        error,
        Tree::MissingRecord(_) | Tree::Malformed { .. } | Tree::Inconsistent(_) | Tree::Store(_)
    );
    if ours { Blame::Internal } else { Blame::User }
}

fn blame(blame: farm_executor::Blame) -> Blame {
    match blame {
        farm_executor::Blame::User => Blame::User,
        farm_executor::Blame::Environment => Blame::Environment,
        farm_executor::Blame::Internal => Blame::Internal,
    }
}

/// The chain of causes in one line; a cause that its parent already quotes is not repeated.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
