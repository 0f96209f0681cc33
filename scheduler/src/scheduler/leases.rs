//! The life of a lease: grant, heartbeats, measurements, report, expiry.

use std::collections::BTreeSet;

use farm_model::{BuildId, LeaseId, WorkerId};

use super::Scheduler;
use crate::flight::{FlightId, Progress};
use crate::lease::{Lease, Sight, State, Weight};
use crate::share::Change;
use crate::timers::Timer;
use crate::workers::Standing;
use crate::{Command, Millis, Verdict};

impl Scheduler {
    /// Gives a flight, which waits nowhere else, to a worker.
    pub(super) fn grant(&mut self, id: FlightId, worker: &WorkerId) {
        let weight = Weight::Assumed(self.assumed_weight(worker));
        let Some(flight) = self.flights.find_mut(id) else { return };
        self.granted += 1;
        let lease_id = LeaseId { epoch: self.epoch, counter: self.granted };
        let leader = flight.leader();
        flight.progress = Progress::Running(lease_id);
        let lease = Lease {
            worker: worker.clone(),
            scope: flight.scope.clone(),
            key: flight.work.key,
            state: State::Live(id),
            sight: Sight::Unseen,
            weight,
            charged: None,
            granted: self.now,
            expected: flight.expected,
        };
        self.take_on(lease_id, lease);
        self.charge(lease_id, leader.0);
        self.timers.set(Timer::Lease(lease_id), self.now.after(self.config.lease_ttl));
        self.commands.push_back(Command::Grant { lease: lease_id, worker: worker.clone(), leader });
    }

    /// A worker reports the end of a lease. Only a live lease's holder is believed.
    pub(super) fn finish(&mut self, worker: &WorkerId, id: LeaseId, verdict: Verdict) {
        self.hear(worker);
        if self.leases.held.get(&id).is_none_or(|lease| lease.worker != *worker) {
            return;
        }
        let Some(lease) = self.release(id) else { return };
        let State::Live(flight) = lease.state else { return };
        match verdict {
            Verdict::Succeeded { took } => self.deliver_success(id, &lease, flight, took),
            Verdict::UserFailed => {
                self.workers.update(worker, |worker| worker.failures = 0);
                self.deliver(id, flight, verdict);
            }
            Verdict::InfrastructureFailed => {
                self.blame(worker);
                self.retry(flight, worker, &format!("worker `{worker}` failed"));
            }
            Verdict::Cancelled => {
                self.retry(flight, worker, &format!("worker `{worker}` cancelled it unasked"));
            }
        }
    }

    /// A worker lists what it holds.
    pub(super) fn renew(&mut self, worker_id: &WorkerId, listed: &[LeaseId]) {
        let Some(worker) = self.workers.find(worker_id) else { return };
        let listed: BTreeSet<LeaseId> = listed.iter().copied().collect();
        let held: Vec<LeaseId> = worker.leases.iter().copied().collect();
        let foreign: Vec<LeaseId> = listed.difference(&worker.leases).copied().collect();
        self.hear(worker_id);
        for lease in foreign {
            // It believes to hold what it does not: the lease was granted elsewhere, or ended, in the meantime.
            self.commands.push_back(Command::Cancel { lease, worker: worker_id.clone() });
        }
        let deadline = self.now.after(self.config.lease_ttl);
        for id in held {
            let Some(lease) = self.leases.held.get_mut(&id) else { continue };
            if listed.contains(&id) {
                lease.sight = Sight::Seen;
                if lease.state != State::Orphaned {
                    self.timers.set(Timer::Lease(id), deadline);
                }
            } else if lease.sight == Sight::Seen {
                self.release_given_up(id, worker_id);
            }
        }
    }

    /// What running steps use was measured.
    pub(super) fn weigh(&mut self, worker: &WorkerId, measured: &[(LeaseId, u32)]) {
        self.hear(worker);
        for (id, thousandths) in measured {
            let Some(lease) = self.leases.held.get_mut(id).filter(|lease| lease.worker == *worker) else {
                continue;
            };
            let (old, new) = (lease.weight.thousandths(), (*thousandths).clamp(Weight::LEAST, Weight::FULL));
            lease.weight = Weight::Measured(new);
            if old == new {
                continue;
            }
            if let Some(build) = lease.charged {
                self.queue.change(&lease.scope, build, Change::Replace { old, new });
            }
            self.workers.update(worker, |worker| {
                worker.weight = worker.weight - u64::from(old) + u64::from(new);
            });
        }
    }

    /// Nobody renewed a lease, confirmed its end, or wanted it.
    pub(super) fn expire(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.held.get(&id) else { return };
        if lease.state == State::Orphaned {
            self.cancel(id);
            return;
        }
        let Some(lease) = self.release(id) else { return };
        self.set_standing(&lease.worker, Standing::Silent);
        if let State::Live(flight) = lease.state {
            self.commands.push_back(Command::Cancel { lease: id, worker: lease.worker.clone() });
            let reason = format!(
                "worker `{}` was not heard of for {} s",
                lease.worker,
                self.config.lease_ttl.0 / 1000
            );
            self.retry(flight, &lease.worker, &reason);
        }
    }

    /// Nobody wants a lease any more. It occupies its worker until that confirms.
    pub(super) fn cancel(&mut self, id: LeaseId) {
        self.discharge(id);
        let Some(lease) = self.leases.held.get_mut(&id) else { return };
        if lease.state == State::Orphaned {
            self.leases.orphans.remove(&(lease.scope.clone(), lease.key));
        }
        lease.state = State::Cancelled;
        self.timers.set(Timer::Lease(id), self.now.after(self.config.lease_ttl));
        self.commands.push_back(Command::Cancel { lease: id, worker: lease.worker.clone() });
    }

    /// Notes that a worker holds a lease.
    pub(super) fn take_on(&mut self, id: LeaseId, lease: Lease) {
        let weight = u64::from(lease.weight.thousandths());
        self.workers.update(&lease.worker, |worker| {
            worker.leases.insert(id);
            worker.weight += weight;
        });
        self.leases.held.insert(id, lease);
    }

    /// Ends a lease and frees what it occupied.
    pub(super) fn release(&mut self, id: LeaseId) -> Option<Lease> {
        self.discharge(id);
        let lease = self.leases.held.remove(&id)?;
        self.timers.clear(Timer::Lease(id));
        if lease.state == State::Orphaned {
            self.leases.orphans.remove(&(lease.scope.clone(), lease.key));
        }
        self.workers.update(&lease.worker, |worker| {
            // A worker that came back without the lease does not hold it in the first place.
            if worker.leases.remove(&id) {
                worker.weight -= u64::from(lease.weight.thousandths());
            }
        });
        Some(lease)
    }

    /// Lets a lease count to the share of `build`, which is served with it.
    pub(super) fn charge(&mut self, id: LeaseId, build: BuildId) {
        let Some(lease) = self.leases.held.get_mut(&id) else { return };
        lease.charged = Some(build);
        self.queue.change(&lease.scope, build, Change::Serve(lease.weight.thousandths()));
    }

    /// Something came from a worker: it is alive.
    fn hear(&mut self, worker: &WorkerId) {
        if self.workers.find(worker).is_some_and(|worker| worker.standing == Standing::Silent) {
            self.set_standing(worker, Standing::Open);
        }
    }

    fn discharge(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.held.get_mut(&id) else { return };
        if let Some(build) = lease.charged.take() {
            self.queue.change(&lease.scope, build, Change::Subtract(lease.weight.thousandths()));
        }
    }

    fn release_given_up(&mut self, id: LeaseId, worker: &WorkerId) {
        let Some(lease) = self.release(id) else { return };
        if let State::Live(flight) = lease.state {
            self.blame(worker);
            self.retry(flight, worker, &format!("worker `{worker}` gave it up"));
        }
    }

    fn deliver_success(&mut self, id: LeaseId, lease: &Lease, flight: FlightId, took: Millis) {
        self.workers.update(&lease.worker, |worker| worker.failures = 0);
        let waiting = self.deliver(id, flight, Verdict::Succeeded { took });
        let mut families = BTreeSet::new();
        for (build, step) in &waiting {
            let node = self.builds.get(build).and_then(|build| build.graph.node(*step));
            families.extend(node.map(|node| node.family));
        }
        for family in families {
            self.families.ran(family, took);
        }
        if let Some(leader) = waiting.first() {
            self.keep_slot(*leader, &lease.worker, lease.weight.thousandths());
        }
    }

    /// What a lease weighs of which nothing was measured yet: a processor; but once this worker has as many measured
    /// steps as slots, twice what those use on average, so that many steps that sleep all start soon.
    fn assumed_weight(&self, worker: &WorkerId) -> u32 {
        let Some(worker) = self.workers.find(worker) else { return Weight::FULL };
        let (mut count, mut sum) = (0u32, 0u32);
        for lease in worker.leases.iter().filter_map(|lease| self.leases.held.get(lease)) {
            if let Weight::Measured(weight) = lease.weight {
                count += 1;
                sum = sum.saturating_add(weight);
            }
        }
        if count < worker.capacity.slots.max(1) {
            return Weight::FULL;
        }
        (sum / count).saturating_mul(2).clamp(Weight::LEAST, Weight::FULL)
    }
}
