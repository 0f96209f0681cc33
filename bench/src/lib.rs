//! Workloads of known shape, and a runner that measures how a `farm` binary builds them.
//!
//! Three parts: [`workload`] writes build contexts, the same bytes and times for the same seed on every machine;
//! [`scenario`] builds them with a real binary and times it from outside, next to baselines taken in the same run.
//! Nothing here asserts a time: machines differ, and so does one machine from minute to minute. Deliberately absent there
//! is any use of farm's own crates, so that what is measured is what a user runs. [`crowd`] makes up the events of a large farm
//! and measures what a console costs that shows them; it uses the crates of events and of the console, and no store.

pub mod baseline;
pub mod crowd;
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
