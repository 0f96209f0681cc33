//! The store as its users see it: with real files, real processes and real file systems.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::large_stack_arrays, reason = "these are tests")]

mod blobs;
mod builds;
mod durability;
mod intake;
mod layers;
mod locking;
mod oci;
mod prune;
mod records;
mod support;
mod workload;
