//! The state machine's one door.

use std::collections::VecDeque;

use crate::{Command, Event, Millis};

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
        }
    }
}

/// The scheduler.
#[derive(Debug)]
pub struct Scheduler {
    commands: VecDeque<Command>,
}

impl Scheduler {
    /// A scheduler that grants leases of `epoch`, which must be greater than any before and durable already.
    pub fn new(_config: Config, _epoch: u64) -> Self {
        Self { commands: VecDeque::new() }
    }

    /// Applies `event`; read the decisions back with [`Scheduler::poll_command`].
    pub fn handle(&mut self, _now: Millis, _event: Event) {}

    /// The next decision to perform.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When [`Event::Tick`] is due at the latest, when at all.
    pub fn poll_timeout(&self) -> Option<Millis> {
        None
    }
}
