//! What becomes of a flight when its lease ends, and of a worker that fails.

use std::collections::BTreeSet;

use farm_model::{LeaseId, WorkerId};

use super::Scheduler;
use crate::command::BuildStep;
use crate::flight::{FlightId, Progress};
use crate::workers::Standing;
use crate::{Command, Verdict};

impl Scheduler {
    /// Hands a result to everybody who waited, and says who that was.
    pub(super) fn deliver(&mut self, lease: LeaseId, flight: FlightId, verdict: Verdict) -> Vec<BuildStep> {
        let waiting = self.end_flight(flight);
        self.commands.push_back(Command::Deliver { lease, verdict, waiting: waiting.clone() });
        waiting
    }

    /// A lease of this flight ended on `worker` without a result: it is granted again, elsewhere if possible, unless
    /// that happened too often.
    pub(super) fn retry(&mut self, id: FlightId, worker: &WorkerId, reason: &str) {
        let Some(flight) = self.flights.find_mut(id) else { return };
        flight.failures += 1;
        flight.avoid.insert(worker.clone());
        let failures = flight.failures;
        let waiting = flight.waiting.clone();
        if failures > self.config.retries {
            self.give_up(id, format!("given up after {failures} attempts, the last because {reason}"));
            return;
        }
        self.commands.push_back(Command::Retry { waiting, reason: reason.to_owned() });
        self.enqueue(id);
    }

    /// A flight that runs is to be done elsewhere: no failure, neither its own nor that of its worker.
    pub(super) fn move_away(&mut self, step: BuildStep, reason: String) {
        let Some(id) = self.flights.of_step(step) else { return };
        let Some(flight) = self.flights.find_mut(id) else { return };
        let Progress::Running(lease) = flight.progress else { return };
        let Some(held) = self.leases.held.get(&lease) else { return };
        // Only this one: with those that failed it before, none might be left to choose from but this one.
        flight.avoid = BTreeSet::from([held.worker.clone()]);
        flight.progress = Progress::New;
        let waiting = flight.waiting.clone();
        self.cancel(lease);
        self.commands.push_back(Command::Retry { waiting, reason });
        self.enqueue(id);
    }

    /// Ends a flight, which waits nowhere, without a result.
    pub(super) fn give_up(&mut self, id: FlightId, reason: String) {
        let waiting = self.end_flight(id);
        self.commands.push_back(Command::GiveUp { waiting, reason });
    }

    /// A worker failed. One that keeps failing is drained, unless nobody else of its platform is there: a farm of one
    /// machine that had a bad minute must not refuse all work for ever after.
    pub(super) fn blame(&mut self, id: &WorkerId) {
        let failures = self.workers.update(id, |worker| {
            worker.failures = worker.failures.saturating_add(1);
            worker.failures
        });
        let too_many = failures.is_some_and(|failures| failures >= self.config.failures_until_drained);
        let open = self.workers.find(id).is_some_and(|worker| worker.standing == Standing::Open);
        if too_many && open && self.workers.has_substitute(id) {
            self.commands.push_back(Command::Drain { worker: id.clone() });
            self.drain(id);
        }
    }

    fn end_flight(&mut self, id: FlightId) -> Vec<BuildStep> {
        let Some(flight) = self.flights.end(id) else { return Vec::new() };
        for (build, step) in &flight.waiting {
            if let Some(build) = self.builds.get_mut(build) {
                build.waiting.remove(step);
            }
        }
        flight.waiting
    }
}
