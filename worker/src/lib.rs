//! Turns tasks into layers: puts a root file system together, runs the command in it, commits what changed.
//!
//! A worker is told what to do in [`CoordinatorMessage`](farm_proto::CoordinatorMessage)s and answers in
//! [`WorkerMessage`](farm_proto::WorkerMessage)s; it decides nothing about keys, caches or placement.

mod cache_mount;
mod commit;
mod error;
mod identity;
mod mask;
mod mounts;
mod rootfs;
mod run;
mod worker;

pub use worker::{Options, Worker};
