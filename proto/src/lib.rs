//! What the coordinator and its workers say to each other, in the order a session uses it.
//!
//! Values only: nothing here opens a connection or touches a disk. Today both ends live in one process and exchange these
//! values over channels; framing, limits and the wire encoding come with the first remote worker.
#![warn(missing_docs)]

pub mod lease;
pub mod message;
pub mod secret;
pub mod task;

pub use lease::LeaseId;
pub use message::{Blame, CoordinatorMessage, Failure, Outcome, WorkerMessage};
pub use secret::Secret;
pub use task::{CacheMount, RunTask, Task, TaskMount, TaskMountKind};
