//! Append-only facts about a build. Progress, history and the console are folds over them.

use crate::{Exit, StepId, Usage};

/// Which of a process's streams a log line came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something that happened in a build. Times are microseconds since its start.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildEvent {
    /// The graph is known; every later event names a step or image of it.
    Planned {
        /// Each step that can run or be cached, in the order of the Dockerfile.
        steps: Vec<PlannedStep>,
    },
    /// A source image was resolved to a manifest.
    ImageResolved {
        /// As the Dockerfile names it.
        name: String,
        /// The manifest's digest.
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
    /// A step began to run.
    Started {
        /// The step.
        step: StepId,
    },
    /// A step's result was found in the cache.
    Cached {
        /// The step.
        step: StepId,
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
    /// The build ended well.
    Completed {
        /// What each stage weighs.
        stages: Vec<StageSize>,
        /// Unpacked bytes of the resulting image, base included.
        image_bytes: u64,
        /// Unpacked bytes of the layers that no longer take part: those of other stages that the image does not have.
        discarded_bytes: u64,
    },
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
