//! What a command can reach.

use crate::Test;

pub const TESTS: &[Test] = &[];
