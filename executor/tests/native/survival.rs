//! What is left when a worker dies.

use std::process::ExitCode;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];

/// The worker of these tests.
pub(crate) fn worker_entry() -> Option<ExitCode> {
    None
}
