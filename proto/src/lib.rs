//! What the processes of a farm say to each other. Values, their wire encoding and its limits; nothing here opens a
//! connection.
//!
//! Goals: one enum a direction in the order a session uses it; every byte from outside is validated before it is
//! believed; bulk bytes never wait in front of control messages. Non-goals: compatibility within one ALPN — a change of
//! any layout below is a new [`ALPN`].
//!
//! # Who opens streams, and what comes first on them
//!
//! | opener | acceptor | first message | then |
//! |---|---|---|---|
//! | client | coordinator | [`client::Request`] | [`client::Reply`] until the stream ends |
//! | coordinator | client | [`session::Question`] | one [`session::Answer`], or bulk bytes as the question says |
//! | worker | coordinator | [`worker::Opening`] | [`WorkerMessage`] against [`CoordinatorMessage`], or as a fetch |
//! | coordinator, worker | worker | [`worker::Errand`] | an item for each thing asked for, or one [`worker::Accounts`] |
//!
//! A frame is a little-endian `u32` length and as many bytes of rkyv, at most [`frame::LIMIT`]. An *item* is a
//! little-endian `u64` length and as many raw bytes; [`blob::ABSENT`] in place of the length says that the thing is not
//! there. Items come in the order in which they were asked for.
#![warn(missing_docs)]

pub mod blob;
pub mod budget;
pub mod client;
pub mod frame;
pub mod image;
pub mod image_query;
pub mod message;
pub mod secret;
pub mod session;
pub mod task;
pub mod transfer;
pub mod worker;

pub use farm_model::LeaseId;
pub use message::{Blame, CoordinatorMessage, Failure, Made, Outcome, Peer, WorkerMessage};
pub use secret::Secret;
pub use task::{Agent, CacheMount, Keep, RunTask, Task, TaskMount, TaskMountKind};

/// Wire version, agreed by TLS before the first byte.
pub const ALPN: &[u8] = b"farm/1";
