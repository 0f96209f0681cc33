//! What can go wrong at the border, with the context that a user needs and a way out.
//!
//! Messages are fragments that complete "failed to …"; causes are in `source`, advice is in [`Error::hint`].

use std::io;
use std::path::{Path, PathBuf};

use farm_model::{OciDigest, Platform};

mod hint;

/// Everything that fails in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of this machine.
    #[error("{action} `{path}`", path = path.display())]
    Io {
        /// What was tried: `read`, `create`, ….
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] farm_store::Error),
    /// The algebra on trees.
    #[error(transparent)]
    Tree(#[from] farm_tree::Error),
    /// A registry's answer, or the lack of one.
    #[error("pull `{reference}` from `{registry}`: {fault}")]
    Registry {
        /// Host and port that were asked.
        registry: String,
        /// What was asked for.
        reference: String,
        /// What happened.
        #[source]
        fault: Fault,
    },
    /// What a registry answered to a push, or that it did not.
    #[error("push `{reference}` to `{registry}`: {fault}")]
    Push {
        /// Host and port that were asked.
        registry: String,
        /// What was to be pushed.
        reference: String,
        /// What happened.
        #[source]
        fault: Fault,
    },
    /// Credentials that a registry does not take.
    #[error("log in to `{registry}`: {fault}")]
    Login {
        /// Host and port that were asked.
        registry: String,
        /// What happened.
        #[source]
        fault: Fault,
    },
    /// Every mirror and the registry itself failed.
    #[error("pull `{reference}`: {}", attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllFailed {
        /// What was asked for.
        reference: String,
        /// One error an endpoint, in the order in which they were tried.
        attempts: Vec<Attempt>,
    },
    /// Bytes that do not have the digest under which they were asked for.
    #[error("verify {what}: expected `{expected}`, but the bytes have `{actual}`")]
    DigestMismatch {
        /// Which bytes.
        what: String,
        /// What was promised.
        expected: OciDigest,
        /// What came.
        actual: OciDigest,
    },
    /// More or fewer bytes than were promised.
    #[error("verify {what}: expected {expected} bytes, got {actual}")]
    SizeMismatch {
        /// Which bytes.
        what: String,
        /// What was promised.
        expected: u64,
        /// What came, at least.
        actual: u64,
    },
    /// More than a limit allows.
    #[error("accept {what}: it exceeds the limit of {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
        /// What the limit counts.
        unit: &'static str,
    },
    /// A manifest, index or config that does not say what it must.
    #[error("read {what}: {reason}")]
    Malformed {
        /// Which document.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An index without the wanted platform.
    #[error("find `{wanted}` in `{reference}`: it offers {available}")]
    NoPlatform {
        /// The image.
        reference: String,
        /// What was wanted.
        wanted: Platform,
        /// What there is, as text.
        available: String,
    },
    /// A tag or digest that a layout does not hold.
    #[error("find `{name}` in the OCI layout `{path}`", path = path.display())]
    NotInLayout {
        /// The tag or digest.
        name: String,
        /// The layout's directory.
        path: PathBuf,
    },
    /// A tar that cannot be unpacked.
    #[error("unpack {archive}: entry `{entry}`: {fault}")]
    Archive {
        /// Which archive.
        archive: String,
        /// Path of the entry, escaped.
        entry: String,
        /// What is wrong with it.
        fault: ArchiveFault,
    },
    /// A compressed stream or tar that cannot be read.
    #[error("read {archive}")]
    Stream {
        /// Which archive.
        archive: String,
        /// What its decoder said.
        source: io::Error,
    },
    /// A download over HTTP.
    #[error("download `{url}`: {fault}")]
    Download {
        /// The address, without credentials.
        url: String,
        /// What happened.
        #[source]
        fault: Fault,
    },
    /// A credential helper.
    #[error("ask the credential helper `{helper}` about `{registry}`: {reason}")]
    CredentialHelper {
        /// Program name.
        helper: String,
        /// For which registry.
        registry: String,
        /// What went wrong.
        reason: String,
    },
    /// A task of the runtime was cancelled, or the runtime is shutting down.
    #[error("finish a background task")]
    Cancelled,
    /// The compressed bytes of a base layer are no longer kept, and [`crate::pull::fetch_layers`] was not asked for them.
    #[error("find the compressed base layer `{0}` in the store")]
    MissingBaseBlob(OciDigest),
    /// A layer that the store forgot between two steps.
    #[error("find layer `{0}` in the store")]
    MissingLayer(farm_model::LayerDigest),
}

impl Error {
    /// Why bytes of the store could not be copied to `path`: what the store found wrong with them comes first.
    pub(crate) fn copying(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.downcast::<farm_store::Error>() {
            Ok(error) => Self::Store(error),
            Err(source) => Self::Io { action, path, source },
        }
    }

    /// Whether bytes that the store should have are damaged or gone; damaged ones were moved aside, so that another try
    /// finds what there is.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::MissingBaseBlob(_)) || matches!(self, Self::Store(error) if error.is_loss())
    }
}

/// One endpoint's failure.
#[derive(Debug, thiserror::Error)]
#[error("`{registry}`: {fault}")]
pub struct Attempt {
    /// Host and port.
    pub registry: String,
    /// What happened.
    pub fault: Fault,
}

/// How an HTTP exchange failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// 401, or a token server that refused.
    #[error("authentication required (401){0}")]
    Unauthorized(Detail),
    /// 401 although credentials were given.
    #[error("its credentials were refused (401){0}")]
    Refused(Detail),
    /// 401 although a token was issued for the credentials.
    #[error("the credentials are valid, but do not allow this (401){0}")]
    Insufficient(Detail),
    /// 403.
    #[error("access denied (403){0}")]
    Forbidden(Detail),
    /// 404.
    #[error("not found (404){0}")]
    NotFound(Detail),
    /// Any other status that is no success.
    #[error("the server answered {status}{detail}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it said.
        detail: Detail,
    },
    /// No connection.
    #[error("connection failed: {0}")]
    Connect(String),
    /// The connection was lost, or idle for too long.
    #[error("the transfer stopped after {received} bytes: {reason}")]
    Interrupted {
        /// Bytes that had arrived.
        received: u64,
        /// Why.
        reason: String,
    },
    /// An answer that follows no protocol.
    #[error("unexpected answer: {0}")]
    Protocol(String),
    /// Bytes that are not what they were said to be.
    #[error("{0}")]
    Content(String),
}

/// Why a transfer was given up that the other side did not end.
pub(crate) const SILENCE: &str = "nothing arrived for too long";

/// The message in an error body, when there was one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Detail(pub String);

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// What is wrong with an entry of an archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ArchiveFault {
    /// `..` leads out of the root.
    #[error("its path escapes the root")]
    Escapes,
    /// Empty names, NUL bytes, names too long.
    #[error("its path is not valid")]
    InvalidPath,
    /// Too many symbolic links on the way.
    #[error("its path runs through too many symbolic links")]
    SymlinkLoop,
    /// A parent is something other than a directory.
    #[error("a parent of its path is not a directory")]
    ParentNotDirectory,
    /// A hard link to nothing.
    #[error("it is a hard link to a file that does not exist")]
    MissingLinkTarget,
    /// A hard link to a directory.
    #[error("it is a hard link to something that is not a file")]
    BadLinkTarget,
    /// An entry type nobody writes.
    #[error("its type is not supported")]
    UnsupportedType,
    /// A number that does not fit.
    #[error("its header holds a number that is out of range")]
    NumberOutOfRange,
    /// A whiteout that names nothing.
    #[error("it is a whiteout without a name")]
    BadWhiteout,
    /// A sparse map that contradicts itself.
    #[error("its sparse map is not valid")]
    BadSparseMap,
    /// File capabilities that no kernel takes.
    #[error("its file capabilities are not valid")]
    BadCapabilities,
    /// An entry that ends before its size.
    #[error("the archive ends in the middle of it")]
    Truncated,
    /// A root that is not a directory.
    #[error("the root must be a directory")]
    RootNotDirectory,
}

/// Whose fault it is; decides the exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// What the user asked for cannot be had.
    User,
    /// Registry, disk, permission, connection.
    Environment,
    /// A bug of ours.
    Internal,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Archive { .. } | Self::Stream { .. } | Self::NoPlatform { .. } => Blame::User,
            Self::Tree(_) | Self::Cancelled | Self::MissingLayer(_) => Blame::Internal,
            Self::Io { .. }
            | Self::Store(_)
            | Self::MissingBaseBlob(_)
            | Self::Registry { .. }
            | Self::Push { .. }
            | Self::Login { .. }
            | Self::AllFailed { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::NotInLayout { .. }
            | Self::Download { .. }
            | Self::CredentialHelper { .. } => Blame::Environment,
        }
    }
}

impl Fault {
    /// Whether another try may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(reason) => !reason.contains("dns error"),
            // Whoever said nothing for as long as the deadline is not asked again.
            Self::Interrupted { received, reason } => *received > 0 || reason != SILENCE,
            Self::Status { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::Unauthorized(_)
            | Self::Refused(_)
            | Self::Insufficient(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Protocol(_)
            | Self::Content(_) => false,
        }
    }
}
