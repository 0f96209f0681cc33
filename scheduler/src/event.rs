//! What the scheduler is told.

use farm_model::{BuildId, LayerDigest, LeaseId, Platform, Scope, StepDigest, StepId, WorkerId};

use crate::Millis;

/// Something that happened, in the past tense.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A build begins. Its steps are named so that the longest path of what is left can be told.
    BuildStarted {
        /// The build.
        build: BuildId,
        /// Its trust domain: builds of one scope share flights, and scopes share the farm fairly.
        scope: Scope,
        /// Every step that may need a worker or a computation, in the order of the Dockerfile.
        steps: Vec<StepShape>,
    },
    /// A step's inputs are known, there is no result for its key, and it needs a worker.
    StepReady {
        /// The build.
        build: BuildId,
        /// The step.
        step: StepId,
        /// What it needs.
        work: Work,
    },
    /// A step is done without a worker: it was found in the cache, or computed by the coordinator.
    StepSettled {
        /// The build.
        build: BuildId,
        /// The step.
        step: StepId,
        /// How long it took; durations of a family are remembered.
        took: Millis,
    },
    /// Nobody waits for this step of this build any more. Its flight goes on while another step waits for it.
    StepAbandoned {
        /// The build.
        build: BuildId,
        /// The step.
        step: StepId,
    },
    /// A build is over, however it ended: all its interest is dropped.
    BuildEnded {
        /// The build.
        build: BuildId,
    },
    /// A worker connected, or came back. One that comes back under the same name replaces its former self; leases of
    /// that self which it does not list are lost.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// What it can do.
        capacity: Capacity,
        /// What it is still doing from before the connection, or the coordinator, was lost.
        running: Vec<RunningLease>,
    },
    /// A worker is gone; its leases are granted again elsewhere.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker gets no new lease from now on, also when it comes back; what it runs it may finish. It need not be there.
    WorkerDrained {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker that was drained, or drained for its failures, gets leases again.
    WorkerRestored {
        /// The worker.
        worker: WorkerId,
    },
    /// Somebody wants a step, with everybody who waits for the same, to be done elsewhere: by another worker if any can do
    /// it. Neither the step nor its worker has failed. Nothing happens unless it runs.
    StepMoved {
        /// The build.
        build: BuildId,
        /// The step.
        step: StepId,
        /// Why, for people.
        reason: String,
    },
    /// A worker is alive. A lease that is left out was given up by it.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
        /// The leases it holds.
        leases: Vec<LeaseId>,
    },
    /// How much of a processor running steps use, in thousandths, as measured over the last moments. A step that waits
    /// off the processor leaves room for others.
    LoadMeasured {
        /// The worker.
        worker: WorkerId,
        /// Lease and thousandths of one processor.
        leases: Vec<(LeaseId, u32)>,
    },
    /// Layers came to, or left, a worker's store.
    HoldingsChanged {
        /// The worker.
        worker: WorkerId,
        /// Now held.
        added: Vec<LayerDigest>,
        /// No longer held.
        removed: Vec<LayerDigest>,
    },
    /// How fast bytes reach a worker.
    BandwidthMeasured {
        /// The worker.
        worker: WorkerId,
        /// Bytes a second.
        bytes_per_second: u64,
    },
    /// A worker reports the end of a lease. A report from anybody but the holder of the live lease is ignored.
    Finished {
        /// Who reports, by its certificate.
        worker: WorkerId,
        /// The lease.
        lease: LeaseId,
        /// How it ended.
        verdict: Verdict,
    },
    /// Time passed.
    Tick,
}

/// A step before its key is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StepShape {
    /// The step.
    pub step: StepId,
    /// What is alike from build to build, by which durations are remembered: a digest over stage name and instruction.
    pub family: [u8; 32],
    /// Steps that have to be done before.
    pub needs: Vec<StepId>,
}

/// What running a step needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Work {
    /// Its key: equal keys of one scope run once.
    pub key: StepDigest,
    /// What it runs on.
    pub platform: Platform,
    /// Labels that its worker must carry.
    pub labels: Vec<String>,
    /// The layers it reads, and what each weighs.
    pub inputs: Vec<Input>,
}

/// A layer that a step reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Input {
    /// Which one.
    pub layer: LayerDigest,
    /// Its unpacked bytes.
    pub bytes: u64,
}

/// What a worker can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// Steps that keep a processor busy and may run at once.
    pub slots: u32,
    /// Steps that may run at once at most, however little they use.
    pub most: u32,
    /// What it runs.
    pub platform: Platform,
    /// Its labels.
    pub labels: Vec<String>,
}

/// A lease that a worker still works on when it (re)connects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunningLease {
    /// The lease.
    pub lease: LeaseId,
    /// What is being done under it.
    pub key: StepDigest,
    /// The trust domain for which it is being done.
    pub scope: Scope,
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// With a result.
    Succeeded {
        /// How long it took.
        took: Millis,
    },
    /// The command itself failed: never tried again.
    UserFailed,
    /// The machine failed: tried again, elsewhere, a bounded number of times.
    InfrastructureFailed,
    /// It was cancelled, as asked.
    Cancelled,
}
