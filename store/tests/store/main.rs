//! The store as its users see it: with real files, real processes and real file systems.

mod blobs;
mod durability;
mod layers;
mod locking;
mod oci;
mod records;
mod support;
mod workload;
