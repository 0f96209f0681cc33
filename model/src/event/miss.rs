//! Why a step was not found in the cache, down to the first thing that differs.

use crate::{OciDigest, StepId};

/// How a thing differs from the last time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It is another one.
    Modified,
}

/// One difference between a step's key and that of the nearest earlier step like it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MissReason {
    /// No step like it was ever done here.
    New,
    /// `--no-cache` or `--no-cache-filter` asked for it.
    Disabled,
    /// The result is known but its bytes can be found nowhere any more.
    Lost,
    /// The instruction itself says something else.
    Instruction {
        /// What it said before.
        before: String,
        /// What it says now.
        after: String,
    },
    /// An argument or environment variable that the command sees. Values are not kept.
    Variable {
        /// Its name.
        name: String,
        /// How it differs.
        change: Change,
    },
    /// Files that the step reads from a context, a stage or an image.
    Files {
        /// What is read: `context`, the stage's or the image's name, or `mount TARGET`.
        origin: String,
        /// The first path that differs, in byte order.
        first: String,
        /// How it differs.
        change: Change,
        /// How many files differ.
        changed: u64,
        /// How many there are.
        total: u64,
    },
    /// The step before this one left something else than last time.
    Parent {
        /// The step before; none for the base of the stage.
        step: Option<StepId>,
        /// The first path that differs, when it can still be told.
        first: Option<String>,
    },
    /// The base image is another one.
    Base {
        /// As the Dockerfile names it.
        image: String,
        /// The manifest before.
        before: Option<OciDigest>,
        /// The manifest now.
        after: Option<OciDigest>,
    },
    /// Anything else that is part of the key: user, working directory, network, a mount's options, the platform.
    Setting {
        /// Its name.
        name: String,
        /// Its value before; empty when there was none.
        before: String,
        /// Its value now; empty when there is none.
        after: String,
    },
}
