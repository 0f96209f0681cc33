//! What a status page may read.

use farm_model::{LeaseId, WorkerId};

use super::Scheduler;
use crate::Millis;
use crate::command::BuildStep;
use crate::flight::Progress;
use crate::workers::Standing;

/// A worker, as the scheduler sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WorkerView<'a> {
    /// The worker.
    pub worker: &'a WorkerId,
    /// Steps that keep a processor busy and may run at once.
    pub slots: u32,
    /// Leases that it holds, cancelled ones that it has not ended yet among them.
    pub leases: usize,
    /// Slots that are kept for stages.
    pub kept: usize,
    /// What both weigh, in thousandths of a processor.
    pub weight: u64,
    /// Whether it is given work.
    pub standing: Standing,
    /// Layers that it holds.
    pub layers: usize,
}

/// Work that is being done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunningView<'a> {
    /// Under which lease.
    pub lease: LeaseId,
    /// Who does it.
    pub worker: &'a WorkerId,
    /// Who wants it, the leader first.
    pub waiting: &'a [BuildStep],
    /// Since when.
    pub since: Millis,
}

/// Work that waits for a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WaitingView<'a> {
    /// Who wants it, the leader first.
    pub waiting: &'a [BuildStep],
    /// Since when.
    pub since: Millis,
    /// The one worker that it waits for, when there is room elsewhere but its inputs are not.
    pub worker: Option<&'a WorkerId>,
}

impl Scheduler {
    /// Every worker, by name.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView<'_>> {
        self.workers.iter().map(|(id, worker)| WorkerView {
            worker: id,
            slots: worker.capacity.slots,
            leases: worker.leases.len(),
            kept: worker.holds.len(),
            weight: worker.weight,
            standing: worker.standing,
            layers: worker.holdings.len(),
        })
    }

    /// What is being done, the oldest first.
    pub fn running(&self) -> impl Iterator<Item = RunningView<'_>> {
        self.flights.iter().filter_map(|(_, flight)| {
            let Progress::Running(id) = flight.progress else { return None };
            let lease = self.leases.held.get(&id)?;
            Some(RunningView {
                lease: id,
                worker: &lease.worker,
                waiting: &flight.waiting,
                since: lease.granted,
            })
        })
    }

    /// What waits for a worker, the oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = WaitingView<'_>> {
        self.flights.iter().filter_map(|(_, flight)| {
            let worker = match &flight.progress {
                Progress::Running(_) => return None,
                Progress::Parked(worker) => Some(worker),
                Progress::New | Progress::Queued(_) => None,
            };
            Some(WaitingView { waiting: &flight.waiting, since: flight.since, worker })
        })
    }

    /// Whether a worker was drained and not restored since, be it there or not.
    pub fn is_drained(&self, worker: &WorkerId) -> bool {
        self.drained.contains(worker)
    }

    /// What steps of each family that ran take, to be handed to [`Scheduler::remember`] after a restart.
    pub fn durations(&self) -> impl Iterator<Item = ([u8; 32], Millis)> + '_ {
        self.families.durations()
    }

    /// What a step of `family` is expected to take.
    pub fn expected(&self, family: &[u8; 32]) -> Millis {
        self.families.expected(family)
    }

    /// What steps of `family` took on workers, on average; none when none has run there.
    pub fn remembered(&self, family: &[u8; 32]) -> Option<Millis> {
        self.families.remembered(family)
    }
}
