//! The other side of a connection, as all of its streams know it.

use std::fmt;
use std::sync::OnceLock;

use quinn::ConnectionError;

use crate::error::reason;
use crate::{Error, Identity};

/// Who is there, and what we know of its end that QUIC does not.
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    gone: OnceLock<&'static str>,
}

impl Peer {
    pub(crate) fn new(identity: Identity) -> Self {
        Self { identity, gone: OnceLock::new() }
    }

    /// It was found to be gone; the connection is closed on our own account right after.
    pub(crate) fn declare_gone(&self, why: &'static str) {
        // Only the first finding counts.
        let _ = self.gone.set(why);
    }

    /// The error of an operation after the connection has ended.
    pub(crate) fn lost(&self, error: &ConnectionError) -> Error {
        match self.gone.get() {
            Some(_) => Error::Lost { peer: self.to_string(), reason: self.reason(error) },
            None => Error::connection(self, error),
        }
    }

    /// Why the connection ended, in words.
    pub(crate) fn reason(&self, error: &ConnectionError) -> String {
        self.gone.get().map_or_else(|| reason(error), |why| (*why).to_owned())
    }

    /// Whether a side closed it because it was done.
    pub(crate) fn ended_in_order(&self, error: &ConnectionError) -> bool {
        let closed = matches!(error, ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed);
        closed && self.gone.get().is_none()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}
