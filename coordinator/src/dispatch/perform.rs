//! What the dispatcher does when the scheduler has decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use farm_model::{LayerDigest, LeaseId, Scope, WorkerId};
use farm_proto::client::Duty;
use farm_proto::{Agent, CoordinatorMessage, Failure, Outcome, RunTask, Task, TaskMountKind};
use farm_scheduler::Command;
use farm_scheduler::command::BuildStep;

use super::dispatcher::{Dispatcher, Granted};
use super::turn::Landed;
use super::{Delivered, Entry};
use crate::Error;
use crate::workers::Place;

impl Dispatcher {
    pub(super) fn perform(&mut self, command: Command) {
        match command {
            Command::Grant { lease, worker, leader } => self.grant(lease, &worker, leader),
            Command::Adopt { lease, worker, leader } => {
                let begun = self.strays.adopt(lease);
                if let Some(flight) = self.flight_of(leader) {
                    flight.log.push(Entry::Started { worker: worker.clone() });
                    // What it has said since it came back is in a log of its own: that one goes on.
                    if let Some(begun) = begun {
                        flight.log.push(Entry::GoOn { log: Arc::clone(&begun) });
                        flight.log = begun;
                    }
                }
                self.issue(lease, &worker, leader);
            }
            Command::Join { follower, leader } => self.join(follower, leader),
            Command::Succeed { to, .. } => {
                // Whoever leads stands first: its client is the one that is asked for agents.
                if let Some(flight) = self.flight_of(to) {
                    flight.waiting.retain(|waiting| *waiting != to);
                    flight.waiting.insert(0, to);
                }
            }
            Command::Cancel { lease, worker } => {
                self.strays.forget(lease);
                self.end_lease(lease);
                self.send(&worker, CoordinatorMessage::Cancel { lease });
            }
            Command::Deliver { lease, waiting, .. } => self.deliver(lease, &waiting),
            Command::Retry { waiting, reason } => self.retry(&waiting, &reason),
            Command::GiveUp { waiting, reason } => self.give_up(&waiting, &reason),
            Command::Drain { worker } => {
                self.workers.rest(&worker, Duty::Drained);
                self.send(&worker, CoordinatorMessage::Drain);
            }
        }
    }

    fn grant(&mut self, lease: LeaseId, worker: &WorkerId, leader: BuildStep) {
        let Some(waiter) = self.waiters.get(&leader) else { return };
        let place = self.workers.place(worker);
        let task = Task::Run(Box::new(placed(waiter.task.clone(), place, &waiter.agents)));
        let inputs: Vec<(LayerDigest, u64)> =
            waiter.work.inputs.iter().map(|input| (input.layer, input.bytes)).collect();
        let (key, peers) = (waiter.work.key, self.workers.peers(worker, &inputs));
        let scope = self.builds.get(&leader.0).map_or_else(Scope::main, |begun| begun.scope.clone());
        self.issue(lease, worker, leader);
        self.send(worker, CoordinatorMessage::Execute { lease, key, scope, task, peers });
    }

    /// From now on `worker` is believed under `lease`: its reports go to the log of the flight.
    fn issue(&mut self, lease: LeaseId, worker: &WorkerId, leader: BuildStep) {
        let Some(number) = self.boarded.get(&leader).copied() else { return };
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.lease = Some(Granted::now(lease, worker.clone()));
        let log = Arc::clone(&flight.log);
        self.granted.insert(lease, number);
        self.leases.issue(lease, worker.clone(), log);
    }

    /// Hands a message to a worker's session. One that takes none any more has lost its worker.
    pub(super) fn send(&mut self, worker: &WorkerId, message: CoordinatorMessage) {
        if !self.workers.send(worker, message) && self.workers.dismiss(worker) {
            self.lost(worker.clone());
        }
    }

    fn join(&mut self, follower: BuildStep, leader: BuildStep) {
        let Some(number) = self.boarded.get(&leader).copied() else { return };
        self.leave_flight(follower);
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.waiting.push(follower);
        let log = Arc::clone(&flight.log);
        self.boarded.insert(follower, number);
        if let Some(waiter) = self.waiters.get(&follower) {
            waiter.log.push(Entry::Follow { build: leader.0, log });
        }
    }

    fn deliver(&mut self, lease: LeaseId, waiting: &[BuildStep]) {
        let Some(reported) = self.reported.take_if(|reported| reported.lease == lease) else { return };
        let delivered = Delivered { outcome: reported.outcome };
        self.learn(&delivered.outcome, waiting);
        for who in waiting {
            let log = self.flight_of(*who).map(|flight| Arc::clone(&flight.log));
            self.leave_flight(*who);
            let Some(waiter) = self.waiters.remove(who) else { continue };
            if let (Outcome::Success { .. }, Some(log)) = (&*delivered.outcome, log) {
                waiter.turn.land(Landed { build: who.0, log, delivered: delivered.clone() });
            }
            // Whoever waited may have left a moment ago.
            let _gone = waiter.reply.send(Ok(delivered.clone()));
        }
        self.end_lease(lease);
    }

    fn retry(&mut self, waiting: &[BuildStep], reason: &str) {
        let Some(flight) = waiting.first().and_then(|who| self.flight_of(*who)) else { return };
        let reason = match &flight.failure {
            Some(failure) => format!("{reason}: {}", failure.message),
            None => reason.to_owned(),
        };
        flight.log.push(Entry::Retried { reason });
        if let Some(granted) = flight.lease.take() {
            self.end_lease(granted.lease);
        }
    }

    fn give_up(&mut self, waiting: &[BuildStep], reason: &str) {
        let failure = waiting.first().and_then(|who| self.flight_of(*who)?.failure.clone());
        let error = match failure {
            Some(failure) => {
                Error::Worker(Failure { message: format!("{reason}: {}", failure.message), ..failure })
            }
            None => Error::NoWorker(format!("{reason}; {}", self.workers.describe())),
        };
        for who in waiting {
            self.leave_flight(*who);
            if let Some(waiter) = self.waiters.remove(who) {
                let _gone = waiter.reply.send(Err(error.clone()));
            }
        }
    }
}

/// A task as one worker needs it: an agent's socket on this machine serves only the worker that is here too.
fn placed(mut task: RunTask, place: Place, agents: &BTreeMap<String, String>) -> RunTask {
    if place == Place::Here {
        for mount in &mut task.mounts {
            if let TaskMountKind::Ssh { agent, .. } = &mut mount.kind
                && let Agent::Client { id } = &*agent
                && let Some(path) = agents.get(id)
            {
                *agent = Agent::Path(path.clone());
            }
        }
    }
    task
}
