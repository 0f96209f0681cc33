//! Append-only facts about a build. Progress, history, `farm why` and the console are folds over them, and over nothing else.

pub mod encoding;
mod farm;
mod miss;
pub mod recording;

pub use farm::{
    Action, Deed, FarmEvent, FarmRecorded, MachineLoad, PastBuild, PastOutcome, StoreLoad, StoreRow,
    WorkerFacts,
};
pub use miss::{Change, MissReason};

use crate::{BuildId, Exit, OciDigest, StageId, StepDigest, StepId, Usage, WorkerId};

/// Which of a process's streams a log line came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// An event with its time. The position of an event in its build's log is its sequence number, from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Microseconds since the build's start; never less than that of the event before.
    pub at: u64,
    /// What happened.
    pub event: BuildEvent,
}

/// Something that happened in a build.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildEvent {
    /// Always the first: somebody asked for the build.
    Requested(Requested),
    /// The build goes on after its coordinator or its client was lost; what was finished is found in the cache. What
    /// was announced of it before holds until the next [`BuildEvent::Planned`].
    Resumed {
        /// Nanoseconds since the Unix epoch.
        time: i64,
    },
    /// The graph is known; every later event names a step or image of it.
    Planned {
        /// Each step that can run or be cached, in the order of the Dockerfile.
        steps: Vec<PlannedStep>,
    },
    /// A local context was scanned.
    ContextScanned {
        /// Which one.
        context: String,
        /// Files that take part.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// How long it took.
        micros: u64,
    },
    /// Bytes of a context that no store had were taken.
    ContextTaken {
        /// Which one.
        context: String,
        /// How many bytes.
        bytes: u64,
        /// How long it took.
        micros: u64,
    },
    /// A source image was resolved to a manifest.
    ImageResolved {
        /// As the Dockerfile names it.
        name: String,
        /// The manifest's digest; that of the configuration for an image that this farm built.
        digest: String,
        /// How long it took.
        micros: u64,
    },
    /// A base layer arrived and was unpacked.
    LayerPulled {
        /// The image it belongs to.
        image: String,
        /// Compressed bytes that were read.
        bytes: u64,
        /// How long it took.
        micros: u64,
    },
    /// A step's key was looked up and there was no result: it has to be done.
    Missed {
        /// The step.
        step: StepId,
        /// Its key.
        key: StepDigest,
        /// Why, the most telling reason first; never empty.
        reasons: Vec<MissReason>,
    },
    /// A step waits for a worker's slot.
    Queued {
        /// The step.
        step: StepId,
    },
    /// An equal step of another build is being done; this one takes part in its log and result.
    Shared {
        /// The step.
        step: StepId,
        /// Whose step it is.
        build: BuildId,
    },
    /// How long a step that is about to wait for a slot usually takes. Absent where no step like it has run before.
    Expected {
        /// The step.
        step: StepId,
        /// A moving average over the last runs of steps like it.
        micros: u64,
    },
    /// A worker fetched layers for a step from other machines.
    Fetched {
        /// The step.
        step: StepId,
        /// How many bytes.
        bytes: u64,
        /// How long it took.
        micros: u64,
    },
    /// A step began to run.
    Started {
        /// The step.
        step: StepId,
        /// Who runs it; none when the coordinator computes it itself.
        worker: Option<WorkerId>,
    },
    /// A step starts over, through no fault of its own: its worker was lost, say.
    Retried {
        /// The step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// A step's result was found in the cache.
    Cached {
        /// The step.
        step: StepId,
        /// Its key.
        key: StepDigest,
        /// What running it took when it was run.
        saved_micros: u64,
        /// Unpacked bytes of its layer, which were not made again.
        saved_bytes: u64,
    },
    /// A step wrote to its log.
    Logged {
        /// The step.
        step: StepId,
        /// Which stream.
        stream: Stream,
        /// Bytes as they came; secrets are already masked.
        bytes: Vec<u8>,
    },
    /// A step succeeded.
    Finished {
        /// The step.
        step: StepId,
        /// Time from start to commit.
        micros: u64,
        /// What its process used; zero for steps without one.
        usage: Usage,
        /// Unpacked bytes of the layer it made.
        bytes: u64,
    },
    /// A step's process failed.
    Failed {
        /// The step.
        step: StepId,
        /// How it ended.
        exit: Exit,
    },
    /// Something that the user should know but that stops nothing.
    Warned {
        /// The text, one or more lines.
        message: String,
    },
    /// Every step is done and the image is put together.
    Completed {
        /// What each stage weighs.
        stages: Vec<StageSize>,
        /// Unpacked bytes of the resulting image, base included.
        image_bytes: u64,
        /// Unpacked bytes of the layers that no longer take part: those of other stages that the image does not have.
        discarded_bytes: u64,
    },
    /// The result was written somewhere, or kept under a name.
    Exported {
        /// What, in words: `type=oci,dest=…`, or the name.
        output: String,
        /// The digest of the image's configuration; none for a plain file system.
        image: Option<OciDigest>,
        /// Bytes that were written; compressed ones where the form is compressed.
        bytes: u64,
        /// How long it took.
        micros: u64,
    },
    /// Always the last.
    Ended(Ending),
}

/// What a build was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requested {
    /// The build.
    pub build: BuildId,
    /// Nanoseconds since the Unix epoch at its start.
    pub time: i64,
    /// What the Dockerfile is called in messages.
    pub dockerfile: String,
    /// The main context, as the client gave it.
    pub context: String,
    /// The stage that was asked for.
    pub target: Option<String>,
    /// Names that the image is to get.
    pub names: Vec<String>,
    /// Who asked, by the name in the certificate.
    pub client: String,
}

/// A step of a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedStep {
    /// The step.
    pub id: StepId,
    /// Name of its stage.
    pub stage: String,
    /// The instruction.
    pub name: String,
    /// First and last line in the Dockerfile, from 1; absent for a trigger of the base image.
    pub lines: Option<(u32, u32)>,
    /// Other stages that this step waits for: the stage's base on its first step, the sources of copies and mounts.
    pub needs: Vec<StageId>,
}

/// What a stage weighs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StageSize {
    /// Name of the stage.
    pub stage: String,
    /// Unpacked bytes of its merged tree, base included.
    pub bytes: u64,
    /// Files and directories in it.
    pub entries: u64,
    /// Whether it is the image rather than a stage that was discarded.
    pub kept: bool,
}

/// How a build ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Everything that was asked for is done.
    Succeeded {
        /// The digest of the image's configuration, where an output or the client needed it.
        image: Option<OciDigest>,
    },
    /// It failed.
    Failed(Failure),
    /// Nobody waited for it any more, or somebody cancelled it.
    Cancelled,
    /// Its coordinator or its client was lost and nobody has taken it up again.
    Interrupted,
}

/// Why a build failed, ready to be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Whose move it is; decides the exit code.
    pub blame: Blame,
    /// What failed, with its place in the Dockerfile; several lines.
    pub message: String,
    /// The way out, when there is one.
    pub hint: Option<String>,
}

/// Whose move it is after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub enum Blame {
    /// Wrong usage or a wrong Dockerfile.
    Usage,
    /// A step failed, or something in the context is not as the Dockerfile wants it.
    Build,
    /// The environment: registry, disk, permission, connection.
    Environment,
    /// A bug of ours.
    Internal,
}
