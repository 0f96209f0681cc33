//! End-to-end tests: the real binary, real registries, real containers; a module for each behaviour that a user sees.
//!
//! Run them with `scripts/test`, which makes and serves the base images that they build from.

mod caching;
mod contexts;
mod diagnostics;
mod hostile;
mod interruption;
mod network;
mod outputs;
mod progress;
mod registries;
mod secrets;
mod standard_input;
mod traces;
