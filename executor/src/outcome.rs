//! How a container ended and what it used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which standard stream bytes were written to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What one run came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// How the command ended.
    pub exit: Exit,
    /// What the container used, its set-up included.
    pub usage: Usage,
}

/// How the command of a container ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It exited. 127 also stands for a command that was not found and 126 for one that could not be
    /// executed; the reason was then written to [`Stream::Stderr`].
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It failed after the kernel had killed one of its processes for lack of memory.
    OutOfMemory,
    /// It was killed because of [`CancelFlag::cancel`](crate::CancelFlag::cancel).
    Cancelled,
    /// It was killed because it ran longer than [`Limits::timeout`](crate::Limits::timeout).
    TimedOut,
}

impl Exit {
    /// Whether the command did what it was asked to.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// Resources used by all processes of a container.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Usage {
    /// Time on a processor in user mode.
    pub user: Duration,
    /// Time on a processor in the kernel.
    pub system: Duration,
    /// Most memory in use at once, in bytes, page cache included; without a memory controller, the
    /// largest resident set of a single process.
    pub peak_memory: u64,
    /// From the call of [`Executor::run`](crate::Executor::run) until every process was gone.
    pub wall: Duration,
}
