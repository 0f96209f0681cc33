//! Work that nobody has ordered here: what a worker that comes back still does under leases from before a restart, or from
//! before its connection was lost.
//!
//! Until a driver wants the same step, what the worker says goes to a log of its own. A result that comes before anybody
//! wants it is kept for a while, since those who do are on their way back too. Deliberately absent: results that are no
//! success, which are cheaper to have again than to explain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use farm_model::{LeaseId, Scope, StepDigest, WorkerId};
use farm_proto::Outcome;
use tokio::time::Instant;

use super::Log;

/// For how long a result waits for somebody who wants it.
const KEPT: Duration = Duration::from_secs(15);

/// Leases without a flight, and what came of them.
#[derive(Debug, Default)]
pub(super) struct Strays {
    running: BTreeMap<LeaseId, Running>,
    ended: BTreeMap<(Scope, StepDigest), Ended>,
}

#[derive(Debug)]
struct Running {
    worker: WorkerId,
    scope: Scope,
    key: StepDigest,
    log: Arc<Log>,
}

/// A result that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) log: Arc<Log>,
    pub(super) outcome: Arc<Outcome>,
    worker: WorkerId,
    at: Instant,
}

impl Strays {
    /// A worker lists a lease that is not known to be of a flight.
    pub(super) fn begin(
        &mut self,
        lease: LeaseId,
        worker: WorkerId,
        scope: Scope,
        key: StepDigest,
        log: Arc<Log>,
    ) {
        self.running.insert(lease, Running { worker, scope, key, log });
    }

    /// Somebody wants what is done under `lease`; gives the log in which that goes on.
    pub(super) fn adopt(&mut self, lease: LeaseId) -> Option<Arc<Log>> {
        self.running.remove(&lease).map(|running| running.log)
    }

    /// Nothing that comes under `lease` counts any more.
    pub(super) fn forget(&mut self, lease: LeaseId) {
        self.running.remove(&lease);
    }

    /// The lease ended, by a report of `worker`.
    pub(super) fn end(&mut self, lease: LeaseId, worker: &WorkerId, outcome: &Arc<Outcome>) {
        self.ended.retain(|_, ended| ended.at.elapsed() < KEPT);
        if self.running.get(&lease).is_none_or(|running| running.worker != *worker) {
            return;
        }
        if let Some(Running { worker, scope, key, log }) = self.running.remove(&lease)
            && matches!(**outcome, Outcome::Success { .. })
        {
            let outcome = Arc::clone(outcome);
            self.ended.insert((scope, key), Ended { log, outcome, worker, at: Instant::now() });
        }
    }

    /// The result of a step, if one came lately that nobody had asked for.
    pub(super) fn take(&mut self, scope: &Scope, key: StepDigest) -> Option<Ended> {
        self.ended.remove(&(scope.clone(), key)).filter(|ended| ended.at.elapsed() < KEPT)
    }

    /// A worker is gone, and with it what only it had.
    pub(super) fn lose(&mut self, worker: &WorkerId) {
        self.running.retain(|_, running| running.worker != *worker);
        self.ended.retain(|_, ended| ended.worker != *worker);
    }
}
