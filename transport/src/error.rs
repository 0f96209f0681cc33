//! What can go wrong between two processes.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use farm_proto::frame;
use quinn::ConnectionError;

use crate::identity::InvalidIdentity;
use crate::verify;

/// An error of this crate. Peers are named as messages should name them: ``worker `w1` ``, or an address before the peer
/// is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection is gone, and with it all of its streams.
    #[error("the connection to {peer} is gone: {reason}")]
    Lost {
        /// Who was there.
        peer: String,
        /// What is known of why.
        reason: String,
    },
    /// Nobody answers there.
    #[error("nobody answers at {address}: {reason}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What is known of why.
        reason: String,
    },
    /// We do not accept the peer's certificate.
    #[error("the certificate of {peer} is not accepted: {reason}")]
    Rejected {
        /// Who showed it.
        peer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer does not accept our certificate, or speaks no version of the protocol that we do.
    #[error("{peer} refuses the connection: {reason}")]
    Refused {
        /// Who refuses.
        peer: String,
        /// What it says.
        reason: String,
    },
    /// The peer gave up on the stream before its end.
    #[error("{peer} broke off")]
    Reset {
        /// Who.
        peer: String,
    },
    /// The peer takes no more on the stream.
    #[error("{peer} takes no more")]
    Stopped {
        /// Who.
        peer: String,
    },
    /// The stream ends in the middle of a message or item, or before one that has to come.
    #[error("what {peer} sent ends too early")]
    Truncated {
        /// Who.
        peer: String,
    },
    /// A message cannot be sent, or what came is none.
    #[error("bad message to or from {peer}")]
    Frame {
        /// Who is on the other side.
        peer: String,
        /// What is wrong with it.
        source: frame::Error,
    },
    /// An item is longer than whoever asked for it takes.
    #[error("an item of {size} bytes from {peer} is longer than the limit of {limit}")]
    LongItem {
        /// Who sends it.
        peer: String,
        /// Its length as announced.
        size: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// What an item was to be made of has fewer bytes than announced, or cannot be read. The stream was reset.
    #[error("cannot read what is to be sent")]
    Source(#[source] io::Error),
    /// A send was given up half way, so that nothing can follow on this stream.
    #[error("an earlier message was left half sent")]
    Torn,
    /// The stream was finished or reset here before.
    #[error("the stream is already finished")]
    Finished,
    /// No socket can be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A certificate or key cannot be read or written.
    #[error("cannot use `{}`", path.display())]
    File {
        /// Which file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("`{}` is not usable: {reason}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody can be called that.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Issue(#[from] rcgen::Error),
    /// Credentials do not fit together.
    #[error("the credentials cannot be used")]
    Credentials(#[from] rustls::Error),
}

impl Error {
    /// Whether the connection as a whole is gone, so that another try needs a new one.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// The error in an [`io::Error`] that came out of this crate's readers and writers; what `peer` sent or took otherwise.
    pub fn from_io(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Source)
    }

    pub(crate) fn malformed(directory: &Path, name: &str, reason: &dyn fmt::Display) -> Self {
        Self::Certificate { path: directory.join(name), reason: reason.to_string() }
    }

    /// The loss of a connection, from whichever operation it shows first.
    pub(crate) fn connection(peer: &dyn fmt::Display, error: &ConnectionError) -> Self {
        let peer = peer.to_string();
        match error {
            ConnectionError::ConnectionClosed(close) if is_alert(u64::from(close.error_code)) => {
                Self::Refused { peer, reason: verify::said(&String::from_utf8_lossy(&close.reason)) }
            }
            ConnectionError::TransportError(error) if is_alert(u64::from(error.code)) => {
                Self::Rejected { peer, reason: verify::said(&error.reason) }
            }
            ConnectionError::VersionMismatch => {
                Self::Refused { peer, reason: "it speaks another version of QUIC".to_owned() }
            }
            ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => Self::Lost { peer, reason: reason(error) },
        }
    }
}

/// Alerts of TLS are a range of QUIC's error codes.
///
/// Specification: RFC 9000, section 20.1, `CRYPTO_ERROR`.
fn is_alert(code: u64) -> bool {
    (0x100..0x200).contains(&code)
}

/// Why a connection ended, in words.
pub(crate) fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) if close.reason.is_empty() => "it was closed".to_owned(),
        ConnectionError::ApplicationClosed(close) => printable(&String::from_utf8_lossy(&close.reason)),
        ConnectionError::TimedOut => "nothing came any more".to_owned(),
        ConnectionError::Reset => "the other side knows nothing of it any more".to_owned(),
        ConnectionError::LocallyClosed => "it was closed here".to_owned(),
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::CidsExhausted => printable(&error.to_string()),
    }
}

/// What a peer says ends up on terminals, so control characters stay out.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Lost { .. } => io::ErrorKind::ConnectionAborted,
            Error::Reset { .. } => io::ErrorKind::ConnectionReset,
            Error::Stopped { .. } => io::ErrorKind::BrokenPipe,
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::Frame { .. } | Error::LongItem { .. } => io::ErrorKind::InvalidData,
            Error::Rejected { .. } | Error::Refused { .. } => io::ErrorKind::PermissionDenied,
            Error::Unreachable { .. } => io::ErrorKind::NotConnected,
            Error::Source(source) | Error::Bind { source, .. } | Error::File { source, .. } => source.kind(),
            Error::Torn
            | Error::Finished
            | Error::Certificate { .. }
            | Error::Identity(_)
            | Error::Issue(_)
            | Error::Credentials(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
