//! Workers come and go, and come back with what they still run.

use std::collections::BTreeMap;

use farm_model::{LeaseId, WorkerId};

use super::Scheduler;
use crate::flight::{FlightId, Progress};
use crate::lease::{Lease, Lost, Sight, State, Weight};
use crate::queue::Ended;
use crate::timers::Timer;
use crate::workers::Standing;
use crate::{Capacity, Command, RunningLease};

impl Scheduler {
    /// A worker is there. What it held under the same name before and does not list is lost.
    pub(super) fn join(&mut self, id: &WorkerId, capacity: Capacity, running: Vec<RunningLease>) {
        let listed: BTreeMap<LeaseId, RunningLease> =
            running.into_iter().map(|running| (running.lease, running)).collect();
        let held = self.workers.find(id).map(|worker| worker.leases.clone()).unwrap_or_default();
        let (kept, gone): (Vec<_>, Vec<_>) = held.into_iter().partition(|lease| listed.contains_key(lease));
        self.vacate(id);
        // The leases that stay move to the new self; their weights go with them.
        self.remove_worker(id);
        if let Some((pool, ability)) = self.workers.add(id, capacity) {
            self.queue.pool_created(pool, &ability);
        }
        if self.drained.contains(id) {
            self.drain(id);
        }
        self.review_all();
        for lease in kept {
            self.keep(id, lease);
        }
        for lease in gone {
            self.lose_lease(lease, &format!("worker `{id}` came back without it"));
        }
        for (lease, running) in listed {
            if self.leases.held.get(&lease).is_none_or(|held| held.worker != *id) {
                self.take_back(id, running);
            }
        }
    }

    /// A worker is gone.
    pub(super) fn lose(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.find(id) else { return };
        let leases = worker.leases.clone();
        self.set_standing(id, Standing::Drained);
        self.remove_worker(id);
        self.review_all();
        for lease in leases {
            self.lose_lease(lease, &format!("worker `{id}` was lost"));
        }
    }

    /// A worker gets no new lease.
    pub(super) fn drain(&mut self, id: &WorkerId) {
        self.set_standing(id, Standing::Drained);
    }

    /// A worker is given work again, whyever it was drained.
    pub(super) fn restore(&mut self, id: &WorkerId) {
        self.drained.remove(id);
        let restored = self.workers.find(id).is_some_and(|worker| worker.standing == Standing::Drained);
        if restored {
            self.workers.update(id, |worker| (worker.standing, worker.failures) = (Standing::Open, 0));
            self.review_all();
        }
    }

    pub(super) fn set_standing(&mut self, id: &WorkerId, standing: Standing) {
        let former = self.workers.find(id).map(|worker| worker.standing);
        // A drained worker stays so until it joins again or is restored.
        if former.is_none_or(|former| former == standing || former == Standing::Drained) {
            return;
        }
        self.workers.update(id, |worker| worker.standing = standing);
        self.vacate(id);
        self.review_all();
    }

    /// Lets a flight that just began take over a lease from before a restart.
    pub(super) fn adopt_orphan(&mut self, id: FlightId) -> bool {
        let Some(flight) = self.flights.find(id) else { return false };
        let Some(lease) = self.leases.orphans.get(&(flight.scope.clone(), flight.work.key)).copied() else {
            return false;
        };
        self.adopt(lease, id);
        true
    }

    fn remove_worker(&mut self, id: &WorkerId) {
        if let Some((worker, Ended::Yes)) = self.workers.remove(id) {
            self.queue.pool_removed(worker.pool);
        }
    }

    /// A lease of a worker's former self goes on.
    fn keep(&mut self, id: &WorkerId, lease_id: LeaseId) {
        let Some(lease) = self.leases.held.get_mut(&lease_id) else { return };
        lease.sight = Sight::Seen;
        let (state, weight) = (lease.state, u64::from(lease.weight.thousandths()));
        self.workers.update(id, |worker| {
            worker.leases.insert(lease_id);
            worker.weight += weight;
        });
        let deadline = self.now.after(self.config.lease_ttl);
        match state {
            State::Live(_) => self.timers.set(Timer::Lease(lease_id), deadline),
            // The first order may have been lost with the connection.
            State::Cancelled => {
                self.timers.set(Timer::Lease(lease_id), deadline);
                self.commands.push_back(Command::Cancel { lease: lease_id, worker: id.clone() });
            }
            State::Orphaned => {}
        }
    }

    /// A lease went away with its worker.
    fn lose_lease(&mut self, id: LeaseId, reason: &str) {
        let Some(lease) = self.release(id) else { return };
        let State::Live(flight) = lease.state else { return };
        let lost = Lost { worker: lease.worker.clone(), scope: lease.scope, key: lease.key };
        self.leases.lost.insert(id, lost);
        self.timers.set(Timer::Lost(id), self.now.after(self.config.grace));
        self.retry(flight, &lease.worker, reason);
    }

    /// A worker lists a lease that is not known to be its own.
    fn take_back(&mut self, worker: &WorkerId, running: RunningLease) {
        let id = running.lease;
        let issued = id.epoch < self.epoch || (id.epoch == self.epoch && id.counter <= self.granted);
        if self.leases.held.contains_key(&id) || !issued {
            self.commands.push_back(Command::Cancel { lease: id, worker: worker.clone() });
            return;
        }
        let lost = self.leases.lost.get(&id).filter(|lost| lost.worker == *worker).cloned();
        let known = match lost {
            Some(lost) => {
                self.leases.lost.remove(&id);
                self.timers.clear(Timer::Lost(id));
                Some((lost.scope, lost.key))
            }
            None => (id.epoch < self.epoch).then(|| (running.scope.clone(), running.key)),
        };
        let adoptable = known.is_some();
        let (scope, key) = known.unwrap_or((running.scope, running.key));
        let wanting = self.flights.wanting(&scope, key).filter(|_| adoptable);
        let progress = wanting.and_then(|id| self.flights.find(id)).map(|flight| flight.progress.clone());
        let taken = self.leases.orphans.contains_key(&(scope.clone(), key));
        let lease = Lease {
            worker: worker.clone(),
            scope: scope.clone(),
            key,
            state: State::Cancelled,
            sight: Sight::Seen,
            weight: Weight::Assumed(Weight::FULL),
            charged: None,
            granted: self.now,
            expected: crate::families::Families::unknown(),
        };
        self.take_on(id, lease);
        match (wanting, progress) {
            (Some(flight), Some(Progress::Queued(_) | Progress::Parked(_) | Progress::New)) => {
                self.adopt(id, flight);
            }
            (None, _) if adoptable && !taken => {
                if let Some(lease) = self.leases.held.get_mut(&id) {
                    lease.state = State::Orphaned;
                }
                self.leases.orphans.insert((scope, key), id);
                self.timers.set(Timer::Lease(id), self.now.after(self.config.grace));
            }
            _ => self.cancel(id),
        }
    }

    /// A lease that was granted earlier counts for a flight that waits.
    fn adopt(&mut self, lease_id: LeaseId, id: FlightId) {
        self.dequeue(id);
        let Some(flight) = self.flights.find_mut(id) else { return };
        let Some(lease) = self.leases.held.get_mut(&lease_id) else { return };
        self.leases.orphans.remove(&(lease.scope.clone(), lease.key));
        lease.state = State::Live(id);
        lease.expected = flight.expected;
        flight.progress = Progress::Running(lease_id);
        if flight.avoid.remove(&lease.worker) {
            // It was not lost after all.
            flight.failures = flight.failures.saturating_sub(1);
        }
        let (worker, leader) = (lease.worker.clone(), flight.leader());
        self.charge(lease_id, leader.0);
        self.timers.set(Timer::Lease(lease_id), self.now.after(self.config.lease_ttl));
        self.commands.push_back(Command::Adopt { lease: lease_id, worker, leader });
    }
}
