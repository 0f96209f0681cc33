//! Why the client cannot give a build what it needs.

use std::io;
use std::path::PathBuf;

/// Why the client cannot give a build what it needs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the user.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The context is not a directory.
    #[error("context `{0}` is not a directory")]
    NotADirectory(PathBuf),
    /// No Dockerfile where one is expected.
    #[error("no Dockerfile in `{0}`")]
    NoDockerfile(PathBuf),
    /// An ignore file does not parse; the text points at the line.
    #[error("{0}")]
    Ignore(String),
    /// Standard input is neither a tar nor a Dockerfile.
    #[error("cannot read the context from standard input: {0}")]
    Stdin(io::Error),
    /// A file is larger than anything of its kind should be.
    #[error("`{path}` has more than {limit} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The context cannot be named as a tree.
    #[error(transparent)]
    Tree(#[from] farm_tree::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoDockerfile(_) => Some("name it with `--file`"),
            Self::NotADirectory(_) => {
                Some("give the directory that COPY reads from, or `-` for standard input")
            }
            Self::Io { .. } | Self::Ignore(_) | Self::Stdin(_) | Self::TooLarge { .. } | Self::Tree(_) => {
                None
            }
        }
    }
}
