//! Lowering, seen from outside: own examples, arbitrary text, and other projects' vectors and builds.
//!
//! The vectors and builds are read where `FARM_CONFORMANCE` (the directory with `parser/`) and
//! `FARM_CASES` (a directory with one directory a build) say, and
//! Dockerfiles of known projects where `FARM_REALWORLD` says. Without them those tests say so and pass.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "lowering/builds.rs"]
mod builds;
#[path = "lowering/errors.rs"]
mod errors;
#[path = "lowering/graphs.rs"]
mod graphs;
#[path = "lowering/hostile.rs"]
mod hostile;
#[path = "lowering/plans.rs"]
mod plans;
#[path = "lowering/support.rs"]
mod support;
#[path = "lowering/vectors.rs"]
mod vectors;
