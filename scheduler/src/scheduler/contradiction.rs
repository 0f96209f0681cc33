//! The invariants between the scheduler's tables, for simulators: too costly to look at after each event of a farm.

use std::collections::BTreeSet;

use farm_model::LeaseId;

use super::Scheduler;
use crate::flight::{FlightId, Progress};
use crate::lease::State;
use crate::timers::Timer;

impl Scheduler {
    /// The first contradiction between two tables, if there is any; in linear time.
    pub fn contradiction(&self) -> Option<String> {
        self.flights_against_leases()
            .or_else(|| self.workers_against_leases())
            .or_else(|| self.shares_against_leases())
            .or_else(|| self.queue_against_flights())
            .or_else(|| self.timers_against_all())
    }

    fn flights_against_leases(&self) -> Option<String> {
        let mut running: BTreeSet<LeaseId> = BTreeSet::new();
        for (id, flight) in self.flights.iter() {
            for step in &flight.waiting {
                let known = self.builds.get(&step.0).is_some_and(|build| build.waiting.contains(&step.1));
                if !known || self.flights.of_step(*step) != Some(id) {
                    return Some(format!("{step:?} waits for {id:?} and does not know it"));
                }
            }
            if self.flights.wanting(&flight.scope, flight.work.key) != Some(id) || flight.waiting.is_empty() {
                return Some(format!("{id:?} cannot be found, or nobody waits for it"));
            }
            if let Progress::Running(lease) = flight.progress {
                running.insert(lease);
                let held = self.leases.held.get(&lease);
                if held.is_none_or(|held| held.state != State::Live(id) || held.key != flight.work.key) {
                    return Some(format!("{id:?} runs under {lease}, which is not live for it"));
                }
            }
            if flight.progress == Progress::New {
                return Some(format!("{id:?} waits nowhere"));
            }
        }
        let live = self.leases.held.iter().filter(|(_, lease)| matches!(lease.state, State::Live(_)));
        let stray = live.map(|(id, _)| *id).find(|id| !running.contains(id))?;
        Some(format!("{stray} is live and no flight runs under it"))
    }

    fn workers_against_leases(&self) -> Option<String> {
        for (id, lease) in &self.leases.held {
            if !self.workers.find(&lease.worker).is_some_and(|worker| worker.leases.contains(id)) {
                return Some(format!("`{}` does not know that it holds {id}", lease.worker));
            }
            let orphan = self.leases.orphans.get(&(lease.scope.clone(), lease.key)) == Some(id);
            if orphan != (lease.state == State::Orphaned) {
                return Some(format!("{id} is an orphan in one table only"));
            }
        }
        for (id, worker) in self.workers.iter() {
            let leases = worker.leases.iter().map(|lease| self.leases.held.get(lease));
            let leases: Option<u64> = leases.map(|lease| Some(u64::from(lease?.weight.thousandths()))).sum();
            let holds: u64 = worker.holds.values().map(|weight| u64::from(*weight)).sum();
            if leases.map(|leases| leases + holds) != Some(worker.weight) {
                return Some(format!("`{id}` weighs {} and its leases {leases:?} + {holds}", worker.weight));
            }
            for (build, stage) in worker.holds.keys() {
                if self.builds.get(build).and_then(|build| build.holds.get(stage)) != Some(id) {
                    return Some(format!("`{id}` keeps a slot that {build} does not know"));
                }
            }
            let listed = self.workers.pool(worker.pool).is_some_and(|pool| {
                pool.free.contains(&(worker.load(), id.clone())) == worker.has_room()
                    && pool.open.contains(id) == worker.is_open()
            });
            if !listed {
                return Some(format!("`{id}` is not listed as it is"));
            }
        }
        None
    }

    fn shares_against_leases(&self) -> Option<String> {
        let charged = self.leases.held.values().filter(|lease| lease.charged.is_some());
        let sum: u64 = charged.map(|lease| u64::from(lease.weight.thousandths())).sum();
        let shares = self.queue.shares().running();
        (shares != (sum, sum)).then(|| format!("shares of {shares:?} do not add up to {sum}"))
    }

    fn queue_against_flights(&self) -> Option<String> {
        let mut queued: BTreeSet<FlightId> = BTreeSet::new();
        for (id, class) in &self.queue.classes {
            for flight in class.flights() {
                queued.insert(flight);
                let progress = self.flights.find(flight).map(|flight| &flight.progress);
                if progress != Some(&Progress::Queued(*id)) {
                    return Some(format!("{flight:?} is in {id:?} and does not know it"));
                }
            }
            if class.pools != self.workers.pools_for(&class.requirement) {
                return Some(format!("{id:?} knows other pools than there are"));
            }
        }
        let lost = self.flights.iter().find(|(id, flight)| {
            let is_queued = matches!(flight.progress, Progress::Queued(_));
            let parked = match &flight.progress {
                Progress::Parked(worker) => {
                    self.workers.find(worker).is_some_and(|worker| worker.parked.contains(&flight.place(*id)))
                }
                Progress::New | Progress::Queued(_) | Progress::Running(_) => true,
            };
            is_queued != queued.contains(id) || !parked
        });
        lost.map(|(id, flight)| format!("{id:?} is {:?} and not there", flight.progress))
    }

    fn timers_against_all(&self) -> Option<String> {
        let timers: BTreeSet<Timer> = self.timers.all().collect();
        let stray = timers.iter().find(|timer| !self.has_a_reason(**timer));
        if let Some(stray) = stray {
            return Some(format!("{stray:?} has no reason"));
        }
        let held = self.leases.held.keys().map(|lease| Timer::Lease(*lease));
        let lost = self.leases.lost.keys().map(|lease| Timer::Lost(*lease));
        let missing = held.chain(lost).find(|timer| !timers.contains(timer));
        missing.map(|timer| format!("{timer:?} has no deadline"))
    }

    fn has_a_reason(&self, timer: Timer) -> bool {
        match timer {
            Timer::Lease(lease) => self.leases.held.contains_key(&lease),
            Timer::Lost(lease) => self.leases.lost.contains_key(&lease),
            Timer::Hold(build, stage) => {
                self.builds.get(&build).is_some_and(|build| build.holds.contains_key(&stage))
            }
            Timer::Parked(id) => {
                let flight = self.flights.find(id);
                flight.is_some_and(|flight| matches!(flight.progress, Progress::Parked(_)))
            }
            Timer::Patience(class) => {
                self.queue.classes.get(&class).is_some_and(|class| class.lacking.is_some())
            }
        }
    }
}
