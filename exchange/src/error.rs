//! Why an exchange failed as a whole. A source that fails is no error: it is passed over.

use std::io;

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The own store failed.
    #[error(transparent)]
    Store(farm_store::Error),
    /// Records of the own store do not fit together.
    #[error(transparent)]
    Tree(farm_tree::Error),
    /// The connection to the other side failed.
    #[error("exchange bytes with `{peer}`")]
    Connection {
        /// Who is at the other end.
        peer: String,
        /// What happened.
        source: farm_transport::Error,
    },
    /// The other side fell silent.
    #[error("exchange bytes with another machine: it was silent for {0} seconds")]
    Silent(u64),
    /// The stream failed while bytes moved.
    #[error("exchange bytes with another machine")]
    Stream(#[source] io::Error),
    /// The answer ended before everything was answered.
    #[error("exchange bytes with another machine: the answer ended early")]
    EndedEarly,
    /// Somebody asked for too much at once.
    #[error("answer a request for {asked} things: {most} are the most")]
    TooMany {
        /// How many were asked for.
        asked: usize,
        /// How many may be.
        most: usize,
    },
    /// A thread of ours died.
    #[error("exchange bytes: a thread panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Tree(error) => error.hint(),
            Self::Connection { .. }
            | Self::Silent(_)
            | Self::Stream(_)
            | Self::EndedEarly
            | Self::TooMany { .. }
            | Self::Panicked(_) => None,
        }
    }

    /// Whether a machine or a network is to blame rather than farm.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Store(error) => error.is_environment(),
            Self::Connection { .. } | Self::Silent(_) | Self::Stream(_) | Self::EndedEarly => true,
            Self::Tree(_) | Self::TooMany { .. } | Self::Panicked(_) => false,
        }
    }
}

impl From<farm_store::Error> for Error {
    fn from(error: farm_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<farm_tree::Error> for Error {
    fn from(error: farm_tree::Error) -> Self {
        // A full disk under a tree is the store's failure.
        let farm_tree::Error::Store(source) = error else { return Self::Tree(error) };
        match source.downcast::<farm_store::Error>() {
            Ok(error) => Self::Store(*error),
            Err(source) => Self::Tree(farm_tree::Error::Store(source)),
        }
    }
}

/// Runs what blocks where blocking is allowed.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::Panicked(panic.to_string())))
}
