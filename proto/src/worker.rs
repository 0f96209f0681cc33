//! What streams between a worker and its coordinator are opened for, and those to a worker by others.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

use farm_model::{LayerDigest, LeaseId};
use rkyv::{Archive, Deserialize, Serialize};

use crate::blob::Fetch;
use crate::image::{PruneRequest, UsageRow};

/// The first message on a stream that a worker opens.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Opening {
    /// The session: [`crate::WorkerMessage`]s, the first a `Hello`, against [`crate::CoordinatorMessage`]s. One a
    /// connection; its end is the end of the worker.
    Session,
    /// Items as [`Fetch`] says.
    Fetch(Fetch),
    /// One connection to the SSH agent of the client whose step runs under this lease: raw bytes both ways.
    Agent {
        /// The lease.
        lease: LeaseId,
        /// Which agent.
        id: String,
    },
}

/// The first message on a stream to a worker. What is not a fetch is for its coordinator only.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Errand {
    /// Items as [`Fetch`] says.
    Fetch(Fetch),
    /// What takes how much of its disk. → [`Accounts`].
    Usage {
        /// Layers that named images need.
        pinned: Vec<LayerDigest>,
    },
    /// Remove what nobody needs. → [`Accounts`] with what went.
    Prune {
        /// What to remove. Without `all` no layer goes: which of them a record reaches is known to the coordinator.
        request: PruneRequest,
        /// Layers that named images need.
        pinned: Vec<LayerDigest>,
    },
}

/// What a worker says about its disk.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Accounts {
    /// Kind by kind.
    Rows(Vec<UsageRow>),
    /// It cannot tell, or could not remove anything, in one line.
    Failed(String),
}
