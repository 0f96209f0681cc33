//! Runs one command of a build in a Linux container, and reports how it ended.
//!
//! The caller hands over directories (overlay layers, an upper, mounts) and gets back an [`Outcome`]; what
//! the directories mean and where they are kept is not known here. [`Native`] isolates the command by itself, [`Oci`] has an OCI runtime
//! do it; both start their own program again, to become containers, so `main` of every program that links this crate calls
//! [`init_entry`] first.
//!
//! Invariants:
//! - nothing is ever mounted in the mount namespace of the host; all mounts die with the container;
//! - every process of a container dies with its first process and with the caller;
//! - a path inside the container is resolved with the container's root as `/`, so that no symlink in a layer or
//!   a mount leads outside;
//! - secrets pass from memory to a tmpfs of the container and touch no disk.
//!
//! Deliberately absent: the store, images, names of users (ids only), rootless operation, IPv6, terminals.
//!
//! This is the only crate of the workspace with `unsafe`; it stays in [`sys`].

mod cancel;
mod cgroup;
mod container;
mod engine;
mod error;
mod executor;
mod helper;
mod meter;
mod mounts;
mod native;
mod network;
mod oci;
mod outcome;
mod overlay;
mod proxy;
mod rundir;
mod seccomp;
mod spec;
mod sys;

pub use cancel::CancelFlag;
pub use container::{
    Access, Container, Limits, Mount, MountKind, Network, OverlayAccess, Resource, Secret, Ulimit, User,
};
pub use engine::sweep;
pub use error::{Blame, Error};
pub use executor::{Executor, Output};
pub use helper::init_entry;
pub use meter::Meter;
pub use native::Native;
pub use network::{NetworkNamespace, NetworkPool, hosts_file, resolv_conf, resolv_conf_path};
pub use oci::Oci;
pub use outcome::{Exit, Outcome, Stream, Usage};
pub use sys::{close_others_on_exec, release_memory};
