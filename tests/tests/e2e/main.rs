//! End-to-end tests: the real binary, real registries, real containers; a module for each behaviour that a user sees.
//!
//! Run them with `scripts/test`, which makes and serves the base images that they build from.

#![expect(clippy::unwrap_used, reason = "a test")]

mod budgets;
mod builds;
mod caching;
mod console;
mod contents;
mod contexts;
mod damage;
mod diagnostics;
mod disk;
mod duty;
mod engines;
mod failing_exports;
mod hostile;
mod images;
mod interruption;
mod network;
mod outputs;
mod progress;
mod reasons;
mod registries;
mod reports;
mod running;
mod secrets;
mod sharing;
mod standard_input;
mod traces;
mod transfers;
