//! What is left when a worker dies.

use std::process::ExitCode;

use crate::Test;

pub const TESTS: &[Test] = &[];

/// The worker of these tests.
pub fn worker_entry() -> Option<ExitCode> {
    None
}
