//! How the scheduler is set up.

use crate::Millis;

/// How the scheduler is set up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// A lease that no heartbeat renews for this long is lost.
    pub lease_ttl: Millis,
    /// How often a step is granted again after failures of machines.
    pub retries: u32,
    /// After this many failures of machines in a row a worker is drained.
    pub failures_until_drained: u32,
    /// For how long the slot of a finished step is kept for the next step of its stage.
    pub affinity: Millis,
    /// For how long a step waits for a worker that could do it, when there is none.
    pub patience: Millis,
    /// How many of the least loaded workers are scored for a placement, beside the holders of its layers.
    pub candidates: usize,
    /// For how long a lease from before a restart, or of a worker that went away, may find again who wants it.
    pub grace: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease_ttl: Millis(15_000),
            retries: 3,
            failures_until_drained: 5,
            affinity: Millis(50),
            patience: Millis(60_000),
            candidates: 8,
            grace: Millis(15_000),
        }
    }
}
