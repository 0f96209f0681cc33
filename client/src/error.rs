//! Why the client cannot do its part.

use std::io;
use std::path::PathBuf;

use farm_proto::client::Refusal;

/// Why the client cannot do its part.
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
    /// The connection.
    #[error(transparent)]
    Transport(#[from] farm_transport::Error),
    /// The coordinator ended the conversation without saying what was asked for.
    #[error("the coordinator ended the conversation without a reply")]
    NoReply,
    /// A reply that does not belong to its request.
    #[error("the coordinator replied something that was not asked for")]
    WrongReply,
    /// An event that cannot be read.
    #[error("cannot read an event of the build: {0}")]
    Event(#[from] farm_model::encoding::Malformed),
    /// The coordinator does not do it.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The user did not wait for the build.
    #[error("the build was left before it ended")]
    Left,
    /// The coordinator asks for something that the build was not given.
    #[error("the build has no {what} `{name}`")]
    NotGiven {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A result ended before it was whole.
    #[error("the coordinator gave up sending the result")]
    Unfinished,
    /// What came is no archive of the form that was asked for.
    #[error("the result is no valid archive: {0}")]
    Archive(String),
    /// Standard output holds the start of an earlier, different result.
    #[error("standard output already holds a part of another result")]
    OutputTorn,
    /// Nobody listens where a container engine should.
    #[error("cannot reach a container engine at `{socket}`: {source}")]
    NoEngine {
        /// Its socket.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A container engine does not take an image.
    #[error("the container engine at `{socket}` does not load the image: {reason}")]
    EngineRefused {
        /// Its socket.
        socket: PathBuf,
        /// What it said.
        reason: String,
    },
    /// A thread of ours panicked.
    #[error("a thread panicked: {0}")]
    Panicked(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the coordinator may answer again when it is connected to anew.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, Self::NoReply) || matches!(self, Self::Transport(error) if error.is_connection_lost())
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NoDockerfile(_) => Some("name it with `--file`"),
            Self::NotADirectory(_) => {
                Some("give the directory that COPY reads from, or `-` for standard input")
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, or write to another disk")
            }
            Self::Refused(refusal) => refusal.hint.as_deref(),
            Self::NoEngine { .. } => Some(
                "start the engine, or name its socket with `DOCKER_HOST=unix://PATH`; `--output type=docker,dest=FILE` writes an archive instead",
            ),
            Self::OutputTorn => Some("build again, or write to a file with `dest=`"),
            Self::Io { .. }
            | Self::Ignore(_)
            | Self::Stdin(_)
            | Self::TooLarge { .. }
            | Self::Tree(_)
            | Self::Transport(_)
            | Self::NoReply
            | Self::WrongReply
            | Self::Event(_)
            | Self::Left
            | Self::NotGiven { .. }
            | Self::Unfinished
            | Self::Archive(_)
            | Self::EngineRefused { .. }
            | Self::Panicked(_) => None,
        }
    }
}
