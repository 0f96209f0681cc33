//! One enum a direction.

use farm_model::event::Stream;
use farm_model::result::LayerRef;
use farm_model::{Exit, Usage};

use crate::{LeaseId, Task};

/// What the coordinator tells a worker.
#[derive(Clone, Debug)]
pub enum CoordinatorMessage {
    /// Grants a lease; the worker answers with exactly one [`WorkerMessage::Finished`].
    Execute {
        /// The grant.
        lease: LeaseId,
        /// What to do.
        task: Task,
    },
    /// Nobody waits for the lease any more. Repeating it is harmless.
    Cancel {
        /// The grant.
        lease: LeaseId,
    },
}

/// What a worker tells the coordinator.
#[derive(Clone, Debug)]
pub enum WorkerMessage {
    /// The process of a task was started.
    Started {
        /// The grant.
        lease: LeaseId,
    },
    /// The task wrote to its log; secrets are masked.
    Logged {
        /// The grant.
        lease: LeaseId,
        /// Which stream.
        stream: Stream,
        /// Bytes as they came.
        bytes: Vec<u8>,
    },
    /// Something the user should know: a secret found in the layer, say.
    Warned {
        /// The grant.
        lease: LeaseId,
        /// The text.
        message: String,
    },
    /// Closes a lease. Repeating it is harmless.
    Finished {
        /// The grant.
        lease: LeaseId,
        /// How it ended.
        outcome: Outcome,
    },
}

/// How a task ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It succeeded.
    Success {
        /// What it changed; none when it changed nothing.
        layer: Option<LayerRef>,
        /// What its process used.
        usage: Usage,
        /// Nanoseconds since the Unix epoch at which the process ended.
        ended: i64,
    },
    /// The command itself failed: never retried.
    UserFailure {
        /// How the process ended.
        exit: Exit,
    },
    /// Something that was asked for cannot be had, or the machine failed.
    Failure(Failure),
    /// It was cancelled.
    Cancelled,
}

/// Why a task could not be done.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whose move it is.
    pub blame: Blame,
    /// The whole chain of causes in one line.
    pub message: String,
    /// The way out, when there is one.
    pub hint: Option<String>,
}

/// Whose move it is after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The Dockerfile or its inputs.
    User,
    /// The machine: disk, permission, kernel, network.
    Environment,
    /// A bug of ours.
    Internal,
}
