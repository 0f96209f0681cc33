//! Errors of other crates as errors of this one.

use std::sync::Arc;

use crate::Error;

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

impl From<farm_transport::Error> for Error {
    fn from(error: farm_transport::Error) -> Self {
        Self::Transport(Arc::new(error))
    }
}

impl From<farm_exchange::Error> for Error {
    fn from(error: farm_exchange::Error) -> Self {
        match error {
            farm_exchange::Error::Store(error) => error.into(),
            farm_exchange::Error::Tree(error) => error.into(),
            error @ (farm_exchange::Error::Connection { .. }
            | farm_exchange::Error::Stream(_)
            | farm_exchange::Error::Silent(_)
            | farm_exchange::Error::EndedEarly
            | farm_exchange::Error::TooMany { .. }
            | farm_exchange::Error::Panicked(_)) => Self::Exchange(Arc::new(error)),
        }
    }
}
