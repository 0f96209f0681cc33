//! Why an operation on trees failed.

use farm_model::DirectoryDigest;
use farm_model::encoding::Malformed;

/// Why an operation on trees failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record that a tree names is not there.
    #[error("directory record `{0}` is not in the store")]
    MissingRecord(DirectoryDigest),
    /// A record does not decode.
    #[error("directory record `{digest}` is damaged")]
    Malformed {
        /// Which record.
        digest: DirectoryDigest,
        /// What is wrong with it.
        source: Malformed,
    },
    /// What keeps the records failed.
    #[error("failed to read or keep a directory record")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A tree says of a directory what its record does not bear out.
    #[error("the sums or the content digest of directory record `{0}` are not what the tree says")]
    Inconsistent(DirectoryDigest),
    /// A tree is deeper than a path can be long.
    #[error("the tree is deeper at `{0}` than a path can be long")]
    TooDeep(String),
    /// There is more in the trees than can be looked at together.
    #[error("there are {entries} files and directories in it, and more than {limit} cannot be looked at")]
    TooLarge {
        /// How many there are.
        entries: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A path that cannot lie in a tree.
    #[error("`{0}` is not a path inside a tree")]
    InvalidPath(String),
    /// A path goes through something that is not a directory.
    #[error("`{0}` is not a directory")]
    NotADirectory(String),
    /// Nothing is there.
    #[error("`{0}`: no such file or directory")]
    NotFound(String),
    /// Symbolic links lead in a circle.
    #[error("`{0}` leads through too many symbolic links")]
    TooManyLinks(String),
    /// A source of `COPY` or `ADD` is not there.
    #[error("failed to find source `{written}`: \"/{path}\": not found")]
    SourceNotFound {
        /// As the Dockerfile says it.
        written: String,
        /// As it was looked for.
        path: String,
    },
    /// A source names nothing that could be kept below its pivot.
    #[error("source `{0}` names no file or directory below its pivot")]
    EmptySource(String),
    /// A file would land on a directory.
    #[error("cannot replace directory `{0}` with a file")]
    FileOverDirectory(String),
    /// A directory would land on something else.
    #[error("cannot copy a directory to non-directory `{0}`")]
    DirectoryOverFile(String),
    /// A pattern that means nothing.
    #[error("pattern `{pattern}` is not valid: {reason}")]
    InvalidPattern {
        /// As written.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A `--chmod` that means nothing.
    #[error(
        "invalid chmod parameter `{0}`: it should be an octal number between 0 and 07777 or a symbolic mode"
    )]
    InvalidMode(String),
    /// A name that the stage's own files do not know.
    #[error("unable to find {kind} `{name}`: no matching entries in {file} file")]
    UnknownName {
        /// `user` or `group`.
        kind: &'static str,
        /// Which one.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A user specification that means nothing.
    #[error("invalid user `{0}`")]
    InvalidUser(String),
}

impl Error {
    /// Whether records do not fit together or cannot be had, rather than what somebody asked for.
    pub fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::MissingRecord(_) | Self::Malformed { .. } | Self::Inconsistent(_) | Self::Store(_)
        )
    }

    /// What the user can do about it, when there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::SourceNotFound { .. } => Some(
                "sources are relative to the root of the context or stage; `.dockerignore` may leave it out",
            ),
            Self::EmptySource(_) => Some("name what to copy behind the `./`, or copy without `--parents`"),
            Self::FileOverDirectory(_) => Some("remove the directory in a `RUN` first"),
            Self::DirectoryOverFile(_) => Some("remove what is there in a `RUN` first"),
            Self::UnknownName { .. } => Some("create it in an earlier `RUN`, or use a number"),
            Self::MissingRecord(_)
            | Self::Malformed { .. }
            | Self::Store(_)
            | Self::Inconsistent(_)
            | Self::TooDeep(_)
            | Self::TooLarge { .. }
            | Self::InvalidPath(_)
            | Self::NotADirectory(_)
            | Self::NotFound(_)
            | Self::TooManyLinks(_)
            | Self::InvalidPattern { .. }
            | Self::InvalidMode(_)
            | Self::InvalidUser(_) => None,
        }
    }
}
