//! Workloads of known shape, and a runner that measures how a `farm` binary builds them.
//!
//! Two halves: [`workload`] writes build contexts, the same bytes and times for the same seed on every machine;
//! [`scenario`] builds them with a real binary and times it from outside, next to baselines taken in the same run.
//! Nothing here asserts a time: machines differ, and so does one machine from minute to minute. Deliberately absent is
//! any use of farm's own crates, so that what is measured is what a user runs.

pub mod baseline;
mod error;
pub mod farm;
pub mod folder;
pub mod progress;
pub mod random;
pub mod report;
pub mod samples;
pub mod scenario;
pub mod workload;

pub use error::Error;
