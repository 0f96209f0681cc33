//! Builds and their steps: who wants what, and who leads a flight.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::{BuildId, Scope, StageId, StepId, WorkerId};

use super::Scheduler;
use crate::command::BuildStep;
use crate::families::Families;
use crate::flight::{Flight, FlightId, Parking, Part, Progress};
use crate::graph::Graph;
use crate::share::Change;
use crate::timers::Timer;
use crate::{Command, Millis, StepShape, Work};

/// A build that runs.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) scope: Scope,
    pub(super) graph: Graph,
    /// Its steps that take part in flights.
    pub(super) waiting: BTreeSet<StepId>,
    /// Where slots are kept for its stages.
    pub(super) holds: BTreeMap<StageId, WorkerId>,
}

impl Scheduler {
    pub(super) fn start_build(&mut self, build: BuildId, scope: Scope, steps: &[StepShape]) {
        self.end_build(build);
        self.queue.open(&scope, build);
        let graph = Graph::new(steps, &self.families);
        self.builds.insert(build, Build { scope, graph, waiting: BTreeSet::new(), holds: BTreeMap::new() });
    }

    /// A step needs a worker: it joins the flight of its key, or begins it.
    pub(super) fn want(&mut self, step: BuildStep, work: Work) {
        let former = self.flights.of_step(step).and_then(|id| self.flights.find(id));
        if former.is_some_and(|flight| flight.work.key == work.key) {
            return;
        }
        self.leave(step);
        let Some(build) = self.builds.get_mut(&step.0) else {
            let reason = "its build is not running".to_owned();
            self.commands.push_back(Command::GiveUp { waiting: vec![step], reason });
            return;
        };
        build.waiting.insert(step.1);
        let scope = build.scope.clone();
        let node = build.graph.node(step.1);
        let (expected, remaining) =
            node.map_or((Families::unknown(), Families::unknown()), |node| (node.expected, node.remaining));
        if let Some(id) = self.flights.wanting(&scope, work.key) {
            self.release_slot(step.0, step.1.stage);
            self.flights.join(id, step);
            self.hurry(id, remaining);
            if let Some(flight) = self.flights.find(id) {
                self.commands.push_back(Command::Join { follower: step, leader: flight.leader() });
            }
            return;
        }
        let id = self.flights.begin(Flight {
            scope,
            work,
            waiting: vec![step],
            progress: Progress::New,
            failures: 0,
            avoid: BTreeSet::new(),
            remaining,
            expected,
            since: self.now,
            parking: Parking::Allowed,
        });
        let kept = self.release_slot(step.0, step.1.stage);
        if self.adopt_orphan(id) || kept.is_some_and(|worker| self.continue_segment(id, &worker)) {
            return;
        }
        self.enqueue(id);
    }

    /// A step is done without a worker.
    pub(super) fn settle(&mut self, step: BuildStep, took: Millis) {
        self.leave(step);
        let Some(build) = self.builds.get(&step.0) else { return };
        if let Some(node) = build.graph.node(step.1) {
            self.families.settled(node.family, took);
        }
        if !build.graph.continues_after(step.1) {
            self.release_slot(step.0, step.1.stage);
        }
    }

    /// A step no longer waits. Its flight ends when it was the last; when it led, the next takes over.
    pub(super) fn leave(&mut self, step: BuildStep) {
        let Some((id, part)) = self.flights.leave(step) else { return };
        if let Some(build) = self.builds.get_mut(&step.0) {
            build.waiting.remove(&step.1);
        }
        let Some(flight) = self.flights.find(id) else { return };
        match (flight.waiting.first().copied(), part) {
            (None, _) => self.abandon(id, step),
            (Some(next), Part::Leader) => self.succeed(id, step, next),
            (Some(_), Part::Follower) => {}
        }
    }

    pub(super) fn end_build(&mut self, id: BuildId) {
        let Some(build) = self.builds.get(&id) else { return };
        let steps: Vec<BuildStep> = build.waiting.iter().map(|step| (id, *step)).collect();
        // Followers first, so that none of them succeeds a leader of the same build only to leave next.
        let (leaders, followers): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| self.leads(*step));
        for step in followers.into_iter().chain(leaders) {
            self.leave(step);
        }
        let stages = self.builds.get(&id).map(|build| build.holds.keys().copied().collect::<Vec<_>>());
        for stage in stages.unwrap_or_default() {
            self.release_slot(id, stage);
        }
        if let Some(build) = self.builds.remove(&id) {
            self.queue.close(&build.scope, id);
        }
    }

    /// Raises the longest path that remains after a flight.
    fn hurry(&mut self, id: FlightId, remaining: Millis) {
        let Some(flight) = self.flights.find_mut(id) else { return };
        if remaining <= flight.remaining {
            return;
        }
        let old = flight.place(id);
        flight.remaining = remaining;
        let (new, build) = (flight.place(id), flight.leader().0);
        match &flight.progress {
            Progress::Queued(class) => {
                self.queue.push(*class, &flight.scope, build, new);
                self.queue.remove(*class, &flight.scope, build, old);
            }
            Progress::Parked(worker) => {
                self.workers.update(worker, |worker| {
                    worker.parked.remove(&old);
                    worker.parked.insert(new);
                });
            }
            Progress::New | Progress::Running(_) => {}
        }
    }

    fn leads(&self, step: BuildStep) -> bool {
        let flight = self.flights.of_step(step).and_then(|id| self.flights.find(id));
        flight.is_some_and(|flight| flight.leader() == step)
    }

    /// Nobody waits for a flight any more; `last` was the last to leave.
    fn abandon(&mut self, id: FlightId, last: BuildStep) {
        let Some(flight) = self.flights.end(id) else { return };
        let place = flight.place(id);
        match flight.progress {
            Progress::New => {}
            Progress::Queued(class) => self.remove_from_queue(class, &flight.scope, last.0, place),
            Progress::Parked(worker) => {
                self.timers.clear(Timer::Parked(id));
                self.workers.update(&worker, |worker| worker.parked.remove(&place));
            }
            Progress::Running(lease) => self.cancel(lease),
        }
    }

    /// The leader of a flight went away.
    fn succeed(&mut self, id: FlightId, from: BuildStep, to: BuildStep) {
        self.commands.push_back(Command::Succeed { from, to });
        let Some(flight) = self.flights.find(id) else { return };
        if from.0 == to.0 {
            return;
        }
        let place = flight.place(id);
        match flight.progress {
            Progress::Queued(class) => {
                self.queue.push(class, &flight.scope, to.0, place);
                self.queue.remove(class, &flight.scope, from.0, place);
            }
            Progress::Running(lease) => {
                if let Some(lease) = self.leases.held.get_mut(&lease) {
                    lease.charged = Some(to.0);
                    let weight = lease.weight.thousandths();
                    self.queue.change(&flight.scope, from.0, Change::Subtract(weight));
                    self.queue.change(&flight.scope, to.0, Change::Add(weight));
                }
            }
            Progress::New | Progress::Parked(_) => {}
        }
    }
}
