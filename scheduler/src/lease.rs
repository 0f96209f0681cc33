//! Leases: one piece of work given to one worker until a deadline.

use std::collections::BTreeMap;

use farm_model::{BuildId, LeaseId, Scope, StepDigest, WorkerId};

use crate::Millis;
use crate::flight::FlightId;

/// One lease that a worker holds, or is believed to hold.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) worker: WorkerId,
    pub(crate) scope: Scope,
    pub(crate) key: StepDigest,
    pub(crate) state: State,
    pub(crate) sight: Sight,
    pub(crate) weight: Weight,
    /// The build whose share it counts to.
    pub(crate) charged: Option<BuildId>,
    pub(crate) granted: Millis,
    pub(crate) expected: Millis,
}

/// What a lease is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// A report under it counts for this flight.
    Live(FlightId),
    /// From before a restart; nobody wants it yet.
    Orphaned,
    /// It counts for nothing, but occupies its worker until the worker confirms its end.
    Cancelled,
}

/// Whether the worker is known to have heard of the lease. Before, leaving it out of a heartbeat means nothing: that
/// heartbeat may have crossed the grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sight {
    /// No heartbeat has listed it.
    Unseen,
    /// A heartbeat has listed it.
    Seen,
}

/// How much of a worker a lease takes, in thousandths of a processor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    /// Guessed.
    Assumed(u32),
    /// Measured.
    Measured(u32),
}

impl Weight {
    /// What a step weighs that keeps a processor busy: nothing weighs more, whatever it uses, for a slot is what a
    /// step was promised.
    pub(crate) const FULL: u32 = 1_000;
    /// What a step weighs at least: it may wake up.
    pub(crate) const LEAST: u32 = 60;

    /// In thousandths.
    pub(crate) fn thousandths(self) -> u32 {
        match self {
            Self::Assumed(weight) | Self::Measured(weight) => weight,
        }
    }
}

impl Lease {
    /// How long it will still take, as far as one can tell: what has lasted longer than expected is expected to last
    /// half as long again.
    pub(crate) fn remaining(&self, now: Millis) -> Millis {
        let elapsed = now.since(self.granted);
        self.expected.since(elapsed).max(Millis(elapsed.0 / 2))
    }
}

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    pub(crate) held: BTreeMap<LeaseId, Lease>,
    /// Orphaned leases by what they do.
    pub(crate) orphans: BTreeMap<(Scope, StepDigest), LeaseId>,
    /// Leases that went away with their workers a short while ago, for the case that those come back.
    pub(crate) lost: BTreeMap<LeaseId, Lost>,
}

/// What is remembered of a lease that went away with its worker.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) worker: WorkerId,
    pub(crate) scope: Scope,
    pub(crate) key: StepDigest,
}
