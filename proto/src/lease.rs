//! Leases: one task given to one worker.

use std::fmt;

/// Names one grant of one task. Never used twice, so it fences late reports.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LeaseId {
    /// Number of the coordinator's life, raised at each start.
    pub epoch: u64,
    /// Number within the epoch.
    pub counter: u64,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.counter)
    }
}
