//! Flights that no worker could do wait for one to come, but not for ever.

use super::Scheduler;
use crate::Millis;
use crate::flight::FlightId;
use crate::queue::ClassId;
use crate::timers::Timer;

impl Scheduler {
    /// Looks whether any worker could do the flights of a class, with room or without.
    pub(super) fn review(&mut self, id: ClassId) {
        let Some(class) = self.queue.classes.get_mut(&id) else { return };
        let mut pools = class.pools.iter().filter_map(|pool| self.workers.pool(*pool));
        if pools.any(|pool| !pool.open.is_empty()) {
            class.lacking = None;
            self.timers.clear(Timer::Patience(id));
        } else if class.lacking.is_none() {
            class.lacking = Some(self.now);
            self.timers.set(Timer::Patience(id), self.now.after(self.config.patience));
        }
    }

    /// Workers came or went.
    pub(super) fn review_all(&mut self) {
        let classes: Vec<ClassId> = self.queue.classes.keys().copied().collect();
        for class in classes {
            self.review(class);
        }
    }

    /// Gives up the flights of a class that waited long enough.
    pub(super) fn run_out_of_patience(&mut self, id: ClassId) {
        let Some(class) = self.queue.classes.get(&id) else { return };
        let Some(lacking) = class.lacking else { return };
        let requirement = &class.requirement;
        let mut reason = format!("no worker for platform `{}`", requirement.platform);
        for label in &requirement.labels {
            reason = format!("{reason} with label `{label}`");
        }
        let reason = format!("{reason} came within {} s", self.config.patience.0 / 1000);
        let deadline = |flight: FlightId| {
            let since = self.flights.find(flight).map_or(lacking, |flight| flight.since);
            since.max(lacking).after(self.config.patience)
        };
        let deadlines: Vec<(Millis, FlightId)> =
            class.flights().map(|flight| (deadline(flight), flight)).collect();
        let next = deadlines.iter().map(|(due, _)| *due).filter(|due| *due > self.now).min();
        if let Some(next) = next {
            self.timers.set(Timer::Patience(id), next);
        }
        let now = self.now;
        for (_, flight) in deadlines.into_iter().filter(|(due, _)| *due <= now) {
            self.dequeue(flight);
            self.give_up(flight, reason.clone());
        }
    }
}
