//! The queue meets the workers: who is served next, which flights wait for one worker, which slots are kept.

use std::collections::BTreeSet;

use farm_model::{BuildId, Scope, StageId, WorkerId};

use super::Scheduler;
use super::placement::Choice;
use crate::Millis;
use crate::command::BuildStep;
use crate::flight::{FlightId, Parking, Progress};
use crate::queue::{Class, ClassId, Ended, Place, Requirement};
use crate::timers::Timer;
use crate::workers::{PoolId, Worker};

impl Scheduler {
    /// Grants until no worker with room can do anything that waits. Each round serves one flight.
    pub(super) fn assign(&mut self) {
        loop {
            if let Some((worker, place)) = self.workers.next_parked() {
                let worker = worker.clone();
                self.unpark(place.1);
                self.grant(place.1, &worker);
                continue;
            }
            let Some(id) = self.next_flight() else { return };
            match self.choose(id, None) {
                Choice::Now(worker) => {
                    self.dequeue(id);
                    self.grant(id, &worker);
                }
                Choice::Later { worker, until } => self.park(id, &worker, until),
                Choice::Nowhere => return,
            }
        }
    }

    /// Lets a flight wait for a worker.
    pub(super) fn enqueue(&mut self, id: FlightId) {
        let now = self.now;
        let Some(flight) = self.flights.find_mut(id) else { return };
        flight.since = now;
        // Who gets no leases needs no avoiding: naming them would make a class of each when many workers go at once.
        let open = |worker: &&WorkerId| self.workers.find(worker).is_some_and(Worker::is_open);
        let avoid = flight.avoid.iter().filter(open).cloned().collect();
        let requirement = Requirement {
            platform: flight.work.platform.clone(),
            labels: flight.work.labels.iter().cloned().collect(),
            avoid,
        };
        let class = self.queue.class(requirement, |requirement| self.workers.pools_for(requirement));
        flight.progress = Progress::Queued(class);
        let place = flight.place(id);
        self.queue.push(class, &flight.scope, flight.leader().0, place);
        self.review(class);
    }

    /// Takes a flight out of the queue, or away from the worker that it waits for.
    pub(super) fn dequeue(&mut self, id: FlightId) {
        let Some(flight) = self.flights.find_mut(id) else { return };
        match flight.progress {
            Progress::Queued(class) => {
                flight.progress = Progress::New;
                let (scope, build, place) = (flight.scope.clone(), flight.leader().0, flight.place(id));
                self.remove_from_queue(class, &scope, build, place);
            }
            Progress::Parked(_) => self.unpark(id),
            Progress::New | Progress::Running(_) => {}
        }
    }

    pub(super) fn remove_from_queue(&mut self, class: ClassId, scope: &Scope, build: BuildId, place: Place) {
        if self.queue.remove(class, scope, build, place) == Ended::Yes {
            self.timers.clear(Timer::Patience(class));
        }
    }

    /// A flight waited long enough for one worker: whoever is free may have it.
    pub(super) fn stop_waiting_for_worker(&mut self, id: FlightId) {
        self.unpark(id);
        self.enqueue(id);
    }

    /// Gives a flight the slot that was kept for its stage, if that is still the best place for it.
    pub(super) fn continue_segment(&mut self, id: FlightId, worker: &WorkerId) -> bool {
        if self.choose(id, Some(worker)) != Choice::Now(worker.clone()) {
            return false;
        }
        self.grant(id, worker);
        true
    }

    /// Keeps the slot of a step that is done for the next step of its stage, unless somebody with less running wants it.
    pub(super) fn keep_slot(&mut self, step: BuildStep, worker_id: &WorkerId, weight: u32) {
        let (build_id, stage) = (step.0, step.1.stage);
        let Some(build) = self.builds.get(&build_id) else { return };
        let Some(worker) = self.workers.find(worker_id) else { return };
        let continues = self.config.affinity > Millis(0) && build.graph.continues_after(step.1);
        if !continues || !worker.is_open() || !worker.parked.is_empty() {
            return;
        }
        let shares = self.queue.shares();
        let own = (shares.scope(&build.scope).running, shares.build(build_id).running);
        let takers = self.queue.classes.values().filter(|class| {
            class.pools.contains(&worker.pool) && !class.requirement.avoid.contains(worker_id)
        });
        let mut turns = takers.filter_map(Class::head);
        if turns.any(|(scope, build, _)| (scope.running, build.running) < own) {
            return;
        }
        self.release_slot(build_id, stage);
        if let Some(build) = self.builds.get_mut(&build_id) {
            build.holds.insert(stage, worker_id.clone());
        }
        self.workers.update(worker_id, |worker| {
            worker.holds.insert((build_id, stage), weight);
            worker.weight += u64::from(weight);
        });
        self.timers.set(Timer::Hold(build_id, stage), self.now.after(self.config.affinity));
    }

    /// Gives a slot that was kept free again; says on which worker it was.
    pub(super) fn release_slot(&mut self, build: BuildId, stage: StageId) -> Option<WorkerId> {
        let worker = self.builds.get_mut(&build)?.holds.remove(&stage)?;
        self.timers.clear(Timer::Hold(build, stage));
        self.workers.update(&worker, |worker| {
            let weight = worker.holds.remove(&(build, stage)).unwrap_or_default();
            worker.weight -= u64::from(weight);
        });
        Some(worker)
    }

    /// Nothing waits for `worker` any more, nor is a slot kept there.
    pub(super) fn vacate(&mut self, worker: &WorkerId) {
        let Some(left) = self.workers.find(worker) else { return };
        let holds: Vec<(BuildId, StageId)> = left.holds.keys().copied().collect();
        let parked: Vec<FlightId> = left.parked.iter().map(|place| place.1).collect();
        for (build, stage) in holds {
            self.release_slot(build, stage);
        }
        for flight in parked {
            self.unpark(flight);
            self.enqueue(flight);
        }
    }

    fn park(&mut self, id: FlightId, worker: &WorkerId, until: Millis) {
        self.dequeue(id);
        let Some(flight) = self.flights.find_mut(id) else { return };
        flight.progress = Progress::Parked(worker.clone());
        flight.parking = Parking::Spent;
        let place = flight.place(id);
        self.workers.update(worker, |worker| worker.parked.insert(place));
        self.timers.set(Timer::Parked(id), until);
    }

    fn unpark(&mut self, id: FlightId) {
        self.timers.clear(Timer::Parked(id));
        let Some(flight) = self.flights.find_mut(id) else { return };
        let place = flight.place(id);
        if let Progress::Parked(worker) = &flight.progress {
            self.workers.update(worker, |worker| worker.parked.remove(&place));
            flight.progress = Progress::New;
        }
    }

    /// Whose turn it is among those that could start at once.
    fn next_flight(&self) -> Option<FlightId> {
        let ready = self.queue.classes.values().filter(|class| self.can_start(class));
        let turn = ready.filter_map(Class::head).min()?;
        Some(turn.2.1)
    }

    fn can_start(&self, class: &Class) -> bool {
        let avoid = self.to_avoid(&class.pools, &class.requirement.avoid);
        let mut pools = class.pools.iter().filter_map(|pool| self.workers.pool(*pool));
        pools.any(|pool| {
            pool.free.iter().any(|(_, worker)| !avoid.is_some_and(|avoid| avoid.contains(worker)))
        })
    }

    /// The workers to avoid, as long as there is any other in `pools`.
    pub(super) fn to_avoid<'a>(
        &self,
        pools: &BTreeSet<PoolId>,
        avoid: &'a BTreeSet<WorkerId>,
    ) -> Option<&'a BTreeSet<WorkerId>> {
        let mut open = pools.iter().filter_map(|pool| self.workers.pool(*pool)).flat_map(|pool| &pool.open);
        let others = !avoid.is_empty() && open.any(|worker| !avoid.contains(worker));
        others.then_some(avoid)
    }
}
