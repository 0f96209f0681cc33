//! What becomes due when. One index for every kind of deadline, so that the next one is known at once.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::{BuildId, LeaseId, StageId};

use crate::Millis;
use crate::flight::FlightId;
use crate::queue::ClassId;

/// Something with a deadline. Each has at most one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// A lease that nobody renewed, nobody confirmed the end of, or nobody adopted.
    Lease(LeaseId),
    /// A lost lease whose worker may come back with it.
    Lost(LeaseId),
    /// A slot that is kept for the next step of a stage.
    Hold(BuildId, StageId),
    /// A step that waits for one particular worker.
    Parked(FlightId),
    /// Steps that no worker could do.
    Patience(ClassId),
}

/// All deadlines.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeMap<Timer, Millis>,
    order: BTreeSet<(Millis, Timer)>,
}

impl Timers {
    /// Sets the deadline of `timer`, in place of an earlier one.
    pub(crate) fn set(&mut self, timer: Timer, when: Millis) {
        if let Some(former) = self.deadlines.insert(timer, when) {
            self.order.remove(&(former, timer));
        }
        self.order.insert((when, timer));
    }

    /// Forgets the deadline of `timer`.
    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(when) = self.deadlines.remove(&timer) {
            self.order.remove(&(when, timer));
        }
    }

    /// Takes one timer that is due.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<Timer> {
        let &(when, timer) = self.order.first()?;
        if when > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.order.first().map(|&(when, _)| when)
    }

    /// Every timer, for checks.
    pub(crate) fn all(&self) -> impl Iterator<Item = Timer> + '_ {
        self.deadlines.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_set_again_replaces_the_former() {
        let mut timers = Timers::default();
        let timer = Timer::Parked(FlightId(1));
        timers.set(timer, Millis(5));
        timers.set(timer, Millis(9));
        assert_eq!(timers.next(), Some(Millis(9)));
        assert_eq!(timers.take_due(Millis(8)), None);
        assert_eq!(timers.take_due(Millis(9)), Some(timer));
        assert_eq!(timers.next(), None);
    }
}
