//! Turns tasks into layers: puts a root file system together, runs the command in it, commits what changed.
//!
//! A worker is told what to do in [`CoordinatorMessage`](farm_proto::CoordinatorMessage)s and answers in
//! [`WorkerMessage`](farm_proto::WorkerMessage)s; it decides nothing about keys, caches or placement. It serves in one of
//! two ways:
//!
//! - *in the coordinator's process*: the same messages over channels, one store for both, so that no byte moves;
//! - *on a machine of its own*: the messages over a connection that is made again when it is lost, and a store of its own.
//!   What a step lacks is fetched from other workers first, and everybody who may can fetch from here.
//!
//! ```text
//! commands ─▶ desk ─▶ step: provide ─▶ run ─▶ commit ─▶ reports
//!                       │                        │
//!                  other stores             own store ─▶ peers
//! ```
//!
//! Invariants:
//! - A lease is answered by exactly one `Finished` that counts; what comes before it was sent before.
//! - Nothing of a step is left behind, however the worker ends.
//! - A connection that is lost for a moment costs no step its result.

mod agent;
mod cache_mount;
mod commit;
mod desk;
mod error;
mod holdings;
mod identity;
mod leases;
mod listen;
mod machine;
mod mask;
mod merged;
mod mounts;
mod peers;
mod provide;
mod pulse;
mod records;
mod remote;
mod rootfs;
mod run;
mod step;
mod worker;

pub use worker::{Options, Worker};
