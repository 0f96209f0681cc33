//! Flights: a flight is one piece of work that is wanted, by however many steps of however many builds of a scope.
//!
//! Invariants: there is at most one flight for a (scope, key); a step of a build is in at most one flight; a flight
//! has at least one step that waits for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use farm_model::{LeaseId, Scope, StepDigest, WorkerId};

use crate::command::BuildStep;
use crate::queue::{ClassId, Place};
use crate::{Millis, Work};

/// Names a flight within one life of the scheduler.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct FlightId(pub(crate) u64);

/// One piece of work.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) scope: Scope,
    pub(crate) work: Work,
    /// Who waits; the leader first, then in order of arrival.
    pub(crate) waiting: Vec<BuildStep>,
    pub(crate) progress: Progress,
    /// Leases that ended without a result.
    pub(crate) failures: u32,
    /// Workers on which it did not end.
    pub(crate) avoid: BTreeSet<WorkerId>,
    /// The longest path that remains, of those who wait.
    pub(crate) remaining: Millis,
    /// How long it takes.
    pub(crate) expected: Millis,
    /// Since when it waits for a worker.
    pub(crate) since: Millis,
    pub(crate) parking: Parking,
}

/// How far a flight is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// Nowhere yet; lasts only within a transition.
    New,
    /// In the queue.
    Queued(ClassId),
    /// It waits for room on one worker, since that is faster than bringing its inputs elsewhere.
    Parked(WorkerId),
    /// Granted.
    Running(LeaseId),
}

/// Whether a flight may wait for one particular worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Parking {
    /// It may.
    Allowed,
    /// It did so in vain.
    Spent,
}

impl Flight {
    /// The step whose task is sent.
    pub(crate) fn leader(&self) -> BuildStep {
        *self.waiting.first().expect("a flight ends when nobody waits")
    }

    /// Its place among the flights of its build: the longest remaining path first, then the oldest.
    pub(crate) fn place(&self, id: FlightId) -> Place {
        (Reverse(self.remaining), id)
    }
}

/// All flights.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    live: BTreeMap<FlightId, Flight>,
    by_key: BTreeMap<(Scope, StepDigest), FlightId>,
    by_step: BTreeMap<BuildStep, FlightId>,
    created: u64,
}

impl Flights {
    /// Begins a flight for its first step.
    pub(crate) fn begin(&mut self, flight: Flight) -> FlightId {
        self.created += 1;
        let id = FlightId(self.created);
        self.by_key.insert((flight.scope.clone(), flight.work.key), id);
        self.by_step.insert(flight.leader(), id);
        self.live.insert(id, flight);
        id
    }

    /// Lets `follower` take part.
    pub(crate) fn join(&mut self, id: FlightId, follower: BuildStep) {
        if let Some(flight) = self.live.get_mut(&id) {
            flight.waiting.push(follower);
            self.by_step.insert(follower, id);
        }
    }

    /// Takes `step` out of its flight; says which that was and whether it led. The flight may be left with nobody.
    pub(crate) fn leave(&mut self, step: BuildStep) -> Option<(FlightId, Part)> {
        let id = self.by_step.remove(&step)?;
        let flight = self.live.get_mut(&id)?;
        let position = flight.waiting.iter().position(|waiting| *waiting == step)?;
        flight.waiting.remove(position);
        Some((id, if position == 0 { Part::Leader } else { Part::Follower }))
    }

    /// Ends a flight.
    pub(crate) fn end(&mut self, id: FlightId) -> Option<Flight> {
        let flight = self.live.remove(&id)?;
        self.by_key.remove(&(flight.scope.clone(), flight.work.key));
        for step in &flight.waiting {
            self.by_step.remove(step);
        }
        Some(flight)
    }

    /// The flight of a key.
    pub(crate) fn wanting(&self, scope: &Scope, key: StepDigest) -> Option<FlightId> {
        self.by_key.get(&(scope.clone(), key)).copied()
    }

    /// The flight for which a step waits.
    pub(crate) fn of_step(&self, step: BuildStep) -> Option<FlightId> {
        self.by_step.get(&step).copied()
    }

    pub(crate) fn find(&self, id: FlightId) -> Option<&Flight> {
        self.live.get(&id)
    }

    pub(crate) fn find_mut(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.live.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (FlightId, &Flight)> {
        self.live.iter().map(|(id, flight)| (*id, flight))
    }
}

/// The part that a step had in a flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// Its task is sent.
    Leader,
    /// It came later.
    Follower,
}
