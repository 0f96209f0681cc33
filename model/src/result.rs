//! What running a step gave.

use crate::{ContentDigest, LayerDigest};

/// How a step's process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub enum Exit {
    /// It returned this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// The kernel killed it because its memory limit was reached.
    OutOfMemory,
    /// It was killed because it ran longer than its time limit.
    TimedOut,
}

impl Exit {
    /// Whether the step succeeded.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code: {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("killed: it ran longer than its time limit"),
            Self::OutOfMemory => f.write_str("out of memory: killed at its memory limit"),
        }
    }
}

/// What a step used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub struct Usage {
    /// Wall time of the process in microseconds.
    pub wall_micros: u64,
    /// CPU time of all its processes in microseconds.
    pub cpu_micros: u64,
    /// Peak memory in bytes.
    pub peak_memory: u64,
}

/// A layer that is known by its tree.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub struct LayerRef {
    /// Identity, mtimes included.
    pub digest: LayerDigest,
    /// Identity without mtimes.
    pub content: ContentDigest,
}

/// The record of a step that succeeded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StepResult {
    /// The layer it made; none when it changed nothing but metadata.
    pub layer: Option<LayerRef>,
    /// Nanoseconds since the Unix epoch at which it ended; `created` of its history entry.
    pub created: i64,
    /// What it used.
    pub usage: Usage,
}
