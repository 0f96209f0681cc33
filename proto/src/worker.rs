//! What a worker opens streams to its coordinator for.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

use farm_model::LeaseId;
use rkyv::{Archive, Deserialize, Serialize};

use crate::blob::Fetch;

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
