//! The session of a worker: one enum a direction.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

pub use farm_model::event::Blame;
use farm_model::event::{MachineLoad, Stream};
use farm_model::result::LayerRef;
use farm_model::{Exit, LayerDigest, LeaseId, Platform, Scope, StepDigest, Usage, WorkerId};
use rkyv::{Archive, Deserialize, Serialize};

use crate::Task;

/// What the coordinator tells a worker.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub enum CoordinatorMessage {
    /// Grants a lease; the worker answers with exactly one [`WorkerMessage::Finished`].
    Execute {
        /// The grant.
        lease: LeaseId,
        /// The key of the step, to name what runs after a reconnection.
        key: StepDigest,
        /// The trust domain for which it runs, told back after a reconnection: flights never cross it.
        scope: Scope,
        /// What to do.
        task: Task,
        /// Other workers that hold layers of the task, the best first; the coordinator is asked last.
        peers: Vec<Peer>,
    },
    /// Nobody waits for the lease any more. Repeating it is harmless.
    Cancel {
        /// The grant.
        lease: LeaseId,
    },
    /// No further lease will be granted; the worker finishes what it runs.
    Drain,
    /// Leases are granted again.
    Restore,
}

/// Where another worker listens for [`crate::blob::Fetch`].
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Peer {
    /// Its name; its certificate has to say the same.
    pub worker: WorkerId,
    /// `address:port`.
    pub address: String,
}

/// What a worker tells the coordinator. Who speaks is the certificate's to say.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub enum WorkerMessage {
    /// Opens the session; always the first.
    Hello {
        /// Steps that keep a processor busy and may run at once.
        slots: u32,
        /// Steps that may run at once at most, however little they use.
        most: u32,
        /// What it runs.
        platform: Platform,
        /// Its labels.
        labels: Vec<String>,
        /// Where peers reach it, when they do.
        address: Option<String>,
        /// What it still does from before the connection was lost.
        running: Vec<(LeaseId, StepDigest, Scope)>,
    },
    /// Layers that its store holds completely, as a difference to what it said before.
    Holdings {
        /// Came.
        added: Vec<LayerDigest>,
        /// Went.
        removed: Vec<LayerDigest>,
    },
    /// Renews the listed leases; a lease left out is given up.
    Heartbeat {
        /// The leases.
        leases: Vec<LeaseId>,
    },
    /// How much of a processor running steps use, in thousandths.
    Load {
        /// Lease and thousandths of one processor.
        leases: Vec<(LeaseId, u32)>,
    },
    /// How fast layers reached it the last time that it fetched some.
    Bandwidth {
        /// Bytes a second.
        bytes_per_second: u64,
    },
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
    /// Directory records of the layer that the task made, encoded; those that the coordinator may lack come before
    /// `Finished`. A worker that shares the coordinator's store sends none.
    Records {
        /// The grant.
        lease: LeaseId,
        /// The records, children before parents.
        records: Vec<Vec<u8>>,
    },
    /// Closes a lease. Repeating it is harmless.
    Finished {
        /// The grant.
        lease: LeaseId,
        /// How it ended.
        outcome: Outcome,
    },
    /// What its machine uses, from time to time.
    Machine(MachineLoad),
    /// Layers that a task needs were fetched from other machines.
    Fetched {
        /// The grant.
        lease: LeaseId,
        /// How many bytes.
        bytes: u64,
        /// How long it took.
        micros: u64,
    },
}

/// How a task ended.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub enum Outcome {
    /// It succeeded.
    Success {
        /// What it changed; none when it changed nothing, or when nothing was to be kept.
        layer: Option<Made>,
        /// What its process used.
        usage: Usage,
        /// Nanoseconds since the Unix epoch at which the process ended.
        ended: i64,
    },
    /// The command itself failed: never retried.
    UserFailure {
        /// How the process ended.
        exit: Exit,
        /// What its processes used.
        usage: Usage,
    },
    /// Something that was asked for cannot be had, or the machine failed.
    Failure(Failure),
    /// It was cancelled.
    Cancelled,
}

/// A layer that a task made.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Made {
    /// Its name.
    pub layer: LayerRef,
    /// The encoded root of its tree.
    pub tree: Vec<u8>,
}

/// Why a task could not be done.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub struct Failure {
    /// Whose move it is.
    pub blame: Blame,
    /// The whole chain of causes in one line.
    pub message: String,
    /// The way out, when there is one.
    pub hint: Option<String>,
    /// Layers whose bytes were found nowhere: their records are no good any more.
    pub lost: Vec<LayerDigest>,
}
