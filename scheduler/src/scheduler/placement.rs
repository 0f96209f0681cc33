//! Where a flight is done soonest.
//!
//! A worker's estimate is its queue wait, plus the bytes that it misses over its measured bandwidth; how long the step
//! itself takes is the same everywhere. Scored are the least loaded workers with room and the holders of the heaviest
//! inputs, with room or without; so the cost of a placement does not grow with the farm. When a holder without room
//! wins, the flight waits for it, but never longer than bringing the bytes elsewhere would have taken: whatever the
//! guesses were worth, it is done after at most twice the time of the better choice.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use farm_model::WorkerId;

use super::Scheduler;
use crate::flight::{Flight, FlightId, Parking, Progress};
use crate::queue::Requirement;
use crate::workers::{PoolId, Worker};
use crate::{Input, Millis};

/// Inputs whose holders are scored, the heaviest ones.
const HEAVIEST: usize = 4;

/// Holders of one input that are scored at most: what is held more widely is no reason to choose a worker.
const HOLDERS: usize = 32;

/// Waiting for a worker has to gain at least this, for it rests on guesses.
const GAIN: Millis = Millis(20);

/// Where a flight goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// To a worker that has room.
    Now(WorkerId),
    /// To a worker that will have room, unless that lasts too long.
    Later {
        /// The worker.
        worker: WorkerId,
        /// When waiting stops being worth it.
        until: Millis,
    },
    /// No worker has room.
    Nowhere,
}

/// A worker's estimate. The smallest wins: the earliest end, then the least load, then the name.
type Score<'a> = (Millis, u64, &'a WorkerId);

impl Scheduler {
    /// Chooses a worker for a flight; a slot on `reserved` counts as free.
    pub(super) fn choose(&self, id: FlightId, reserved: Option<&WorkerId>) -> Choice {
        let Some(flight) = self.flights.find(id) else { return Choice::Nowhere };
        let (pools, avoid) = self.suitable(flight);
        let avoid = self.to_avoid(&pools, &avoid);
        let heavy = heaviest(&flight.work.inputs);
        let (mut now, mut later): (Option<Score>, Option<(Score, Millis)>) = (None, None);
        for candidate in self.candidates(&pools, avoid, &heavy, reserved) {
            let Some(worker) = self.workers.find(candidate) else { continue };
            let suits = worker.is_open()
                && pools.contains(&worker.pool)
                && !avoid.is_some_and(|avoid| avoid.contains(candidate));
            if !suits {
                continue;
            }
            let transfer = transfer(worker, &flight.work.inputs);
            if worker.has_room() || reserved == Some(candidate) {
                let score = (transfer, worker.load(), candidate);
                now = Some(now.map_or(score, |best| best.min(score)));
            } else if let Some(wait) = self.wait(worker) {
                let score = (wait.after(transfer), worker.load(), candidate);
                later = Some(later.map_or((score, transfer), |best| best.min((score, transfer))));
            }
        }
        let Some(now) = now else { return Choice::Nowhere };
        match later {
            Some((score, transfer)) if flight.parking == Parking::Allowed && score.0.after(GAIN) < now.0 => {
                Choice::Later { worker: score.2.clone(), until: self.now.after(now.0.since(transfer)) }
            }
            Some(_) | None => Choice::Now(now.2.clone()),
        }
    }

    /// The pools that will do for a flight, and whom to avoid in them: as its class says, when it is in one.
    fn suitable(&self, flight: &Flight) -> (BTreeSet<PoolId>, BTreeSet<WorkerId>) {
        if let Progress::Queued(class) = &flight.progress
            && let Some(class) = self.queue.classes.get(class)
        {
            return (class.pools.clone(), class.requirement.avoid.clone());
        }
        let pools = self.workers.pools_for(&Requirement {
            platform: flight.work.platform.clone(),
            labels: flight.work.labels.iter().cloned().collect(),
            avoid: BTreeSet::new(),
        });
        (pools, flight.avoid.clone())
    }

    fn candidates<'a>(
        &'a self,
        pools: &BTreeSet<PoolId>,
        avoid: Option<&BTreeSet<WorkerId>>,
        heavy: &[Input],
        reserved: Option<&'a WorkerId>,
    ) -> BTreeSet<&'a WorkerId> {
        let mut free: Vec<&(u64, WorkerId)> = pools
            .iter()
            .filter_map(|pool| self.workers.pool(*pool))
            .flat_map(|pool| {
                let wanted = pool.free.iter();
                wanted
                    .filter(|(_, worker)| !avoid.is_some_and(|avoid| avoid.contains(worker)))
                    .take(self.width())
            })
            .collect();
        free.sort();
        free.truncate(self.width());
        let mut candidates: BTreeSet<&WorkerId> = free.into_iter().map(|(_, worker)| worker).collect();
        candidates.extend(heavy.iter().flat_map(|input| self.workers.holders(input.layer).take(HOLDERS)));
        candidates.extend(reserved);
        candidates
    }

    fn width(&self) -> usize {
        self.config.candidates.max(1)
    }

    /// How long until `worker` has room for one more than those who wait for it already.
    fn wait(&self, worker: &Worker) -> Option<Millis> {
        let leases = worker.leases.iter().filter_map(|lease| self.leases.held.get(lease));
        let mut ends: Vec<Millis> = leases.map(|lease| lease.remaining(self.now)).collect();
        ends.sort();
        ends.get(worker.parked.len()).copied()
    }
}

/// The heaviest inputs.
fn heaviest(inputs: &[Input]) -> Vec<Input> {
    let mut heavy: Vec<Input> = inputs.iter().filter(|input| input.bytes > 0).copied().collect();
    heavy.sort_by_key(|input| (Reverse(input.bytes), input.layer));
    heavy.dedup_by_key(|input| input.layer);
    heavy.truncate(HEAVIEST);
    heavy
}

/// How long it takes to bring `worker` what it lacks of `inputs`.
fn transfer(worker: &Worker, inputs: &[Input]) -> Millis {
    let lacking = inputs.iter().filter(|input| !worker.holdings.contains(&input.layer));
    let bytes = lacking.fold(0u64, |sum, input| sum.saturating_add(input.bytes));
    Millis(bytes.saturating_mul(1_000) / worker.bytes_per_second.max(1))
}
