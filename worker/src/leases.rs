//! The leases that a worker holds: what runs under them, and results that may not have arrived.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farm_executor::{CancelFlag, Meter};
use farm_model::{LeaseId, Scope, StepDigest};
use farm_proto::Outcome;
use tokio::sync::watch;

/// A change of load that is worth telling, in thousandths of a processor.
const NOTICEABLE: u32 = 100;

/// How long after something changed loads are measured as often as they are asked for.
const LIVELY: Duration = Duration::from_secs(1);
/// How often they are at most when nothing has changed for so long.
const STEADY: Duration = Duration::from_millis(250);

/// The leases of one worker. A lease is listed until its `Finished` has been passed on, so that no heartbeat that is sent
/// before it leaves the lease out.
#[derive(Debug)]
pub(crate) struct Leases {
    table: Mutex<Table>,
    running: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Table {
    running: BTreeMap<LeaseId, Running>,
    pace: Pace,
    /// Results that were sent lately: a connection that breaks now may take them along.
    sent: BTreeMap<LeaseId, Sent>,
}

#[derive(Debug)]
struct Running {
    key: StepDigest,
    scope: Scope,
    cancel: CancelFlag,
    cancelled: watch::Sender<bool>,
    meter: Meter,
    reading: Option<Reading>,
    told: Option<u32>,
}

/// How often loads are measured: each time costs a look at a file for every step.
#[derive(Debug, Default)]
struct Pace {
    /// When a step began, or the load of one changed noticeably.
    changed: Option<Instant>,
    measured: Option<Instant>,
}

impl Pace {
    /// Whether it is time to measure; then that counts as done.
    fn is_due(&mut self, now: Instant) -> bool {
        let within = |then: Option<Instant>, span| then.is_some_and(|then| now.duration_since(then) < span);
        let due = within(self.changed, LIVELY) || !within(self.measured, STEADY);
        if due {
            self.measured = Some(now);
        }
        due
    }
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    micros: u64,
}

#[derive(Debug)]
struct Sent {
    key: StepDigest,
    scope: Scope,
    outcome: Outcome,
    at: Instant,
}

/// What a step is given of its lease.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) cancel: CancelFlag,
    pub(crate) meter: Meter,
    cancelled: watch::Receiver<bool>,
}

impl Grant {
    /// Is ready once the lease is cancelled.
    pub(crate) async fn cancelled(&mut self) {
        // A lease that is gone from the table is as good as cancelled.
        let _gone = self.cancelled.wait_for(|cancelled| *cancelled).await;
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self { table: Mutex::default(), running: watch::Sender::new(0) }
    }
}

impl Leases {
    /// Enters a lease.
    pub(crate) fn grant(&self, lease: LeaseId, key: StepDigest, scope: Scope) -> io::Result<Grant> {
        let (cancel, meter) = (CancelFlag::new()?, Meter::default());
        let (sender, cancelled) = watch::channel(false);
        let grant = Grant { cancel: cancel.clone(), meter: meter.clone(), cancelled };
        let running = Running { key, scope, cancel, cancelled: sender, meter, reading: None, told: None };
        let mut table = self.lock();
        table.running.insert(lease, running);
        table.pace.changed = Some(Instant::now());
        self.running.send_replace(table.running.len());
        Ok(grant)
    }

    /// How many steps run.
    pub(crate) fn count(&self) -> usize {
        self.lock().running.len()
    }

    /// Is ready as soon as a step runs.
    pub(crate) async fn until_busy(&self) {
        let mut running = self.running.subscribe();
        // The sender is ours, so there is no end to wait for.
        let _open = running.wait_for(|running| *running > 0).await;
    }

    /// The lease's end was passed on and cannot be lost.
    pub(crate) fn close(&self, lease: LeaseId) {
        let mut table = self.lock();
        table.running.remove(&lease);
        self.running.send_replace(table.running.len());
    }

    /// The lease's end was sent; whether it arrived shows later.
    pub(crate) fn sent(&self, lease: LeaseId, outcome: Outcome) {
        let mut table = self.lock();
        if let Some(Running { key, scope, .. }) = table.running.remove(&lease) {
            table.sent.insert(lease, Sent { key, scope, outcome, at: Instant::now() });
        }
        self.running.send_replace(table.running.len());
    }

    /// Forgets results that were sent at least `age` ago: the connection lives, so they arrived.
    pub(crate) fn forget_sent(&self, age: Duration) {
        self.lock().sent.retain(|_, sent| sent.at.elapsed() < age);
    }

    /// Results to be sent again over a new connection.
    pub(crate) fn unconfirmed(&self) -> Vec<(LeaseId, Outcome)> {
        let mut table = self.lock();
        let resend = |(lease, sent): (&LeaseId, &mut Sent)| {
            sent.at = Instant::now();
            (*lease, sent.outcome.clone())
        };
        table.sent.iter_mut().map(resend).collect()
    }

    /// Everything that a new session has to know of.
    pub(crate) fn held(&self) -> Vec<(LeaseId, StepDigest, Scope)> {
        let table = self.lock();
        let running =
            table.running.iter().map(|(lease, running)| (*lease, running.key, running.scope.clone()));
        let sent = table.sent.iter().map(|(lease, sent)| (*lease, sent.key, sent.scope.clone()));
        running.chain(sent).collect()
    }

    /// The leases that run.
    pub(crate) fn running(&self) -> Vec<LeaseId> {
        self.lock().running.keys().copied().collect()
    }

    /// Cancels a lease, however far it is.
    pub(crate) fn cancel(&self, lease: LeaseId) {
        let mut table = self.lock();
        table.sent.remove(&lease);
        if let Some(running) = table.running.get(&lease) {
            running.cancel();
        }
    }

    /// Cancels everything, and keeps no result for later.
    pub(crate) fn cancel_all(&self) {
        let mut table = self.lock();
        table.sent.clear();
        table.running.values().for_each(Running::cancel);
    }

    /// How much of a processor steps use since they were asked last, in thousandths, where that changed noticeably. While
    /// nothing changes, steps are not asked each time.
    pub(crate) fn loads(&self) -> Vec<(LeaseId, u32)> {
        let now = Instant::now();
        let meters: Vec<(LeaseId, Meter)> = {
            let mut table = self.lock();
            if !table.pace.is_due(now) {
                return Vec::new();
            }
            table.running.iter().map(|(lease, running)| (*lease, running.meter.clone())).collect()
        };
        let read = |(lease, meter): (LeaseId, Meter)| Some((lease, meter.cpu_micros()?));
        let read: Vec<(LeaseId, Reading)> = meters
            .into_iter()
            .filter_map(read)
            .map(|(lease, micros)| (lease, Reading { at: Instant::now(), micros }))
            .collect();
        let mut table = self.lock();
        let load = |(lease, reading): (LeaseId, Reading)| {
            Some((lease, table.running.get_mut(&lease)?.load(reading)?))
        };
        let loads: Vec<(LeaseId, u32)> = read.into_iter().filter_map(load).collect();
        if !loads.is_empty() {
            table.pace.changed = Some(now);
        }
        loads
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn cancel(&self) {
        self.cancel.cancel();
        self.cancelled.send_replace(true);
    }

    fn load(&mut self, now: Reading) -> Option<u32> {
        let before = self.reading.replace(now)?;
        let load = thousandths(now.micros.saturating_sub(before.micros), now.at.duration_since(before.at))?;
        let changed = self.told.is_none_or(|told| told.abs_diff(load) >= NOTICEABLE);
        changed.then(|| *self.told.insert(load))
    }
}

fn thousandths(micros: u64, span: Duration) -> Option<u32> {
    let load = u128::from(micros).checked_mul(1000)?.checked_div(span.as_micros())?;
    Some(u32::try_from(load).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: LeaseId = LeaseId { epoch: 1, counter: 2 };

    fn granted() -> (Leases, Grant) {
        let leases = Leases::default();
        let grant = leases.grant(LEASE, StepDigest([7; 32]), Scope::main()).unwrap();
        (leases, grant)
    }

    #[tokio::test]
    async fn a_cancelled_lease_wakes_who_waits_and_stays_listed_until_it_is_closed() {
        let (leases, mut grant) = granted();
        leases.cancel(LEASE);
        grant.cancelled().await;
        assert!(grant.cancel.is_cancelled());
        assert_eq!(leases.running(), [LEASE]);
        leases.close(LEASE);
        assert_eq!((leases.running(), leases.count()), (Vec::new(), 0));
    }

    #[test]
    fn a_result_that_was_sent_is_told_again_until_it_is_old_enough() {
        let (leases, _grant) = granted();
        leases.sent(LEASE, Outcome::Cancelled);
        assert!(leases.running().is_empty());
        assert_eq!(leases.held(), [(LEASE, StepDigest([7; 32]), Scope::main())]);
        leases.forget_sent(Duration::from_secs(60));
        assert_eq!(leases.unconfirmed().len(), 1);
        leases.forget_sent(Duration::ZERO);
        assert!(leases.unconfirmed().is_empty() && leases.held().is_empty());
    }

    #[test]
    fn a_cancelled_result_is_not_told_again() {
        let (leases, _grant) = granted();
        leases.sent(LEASE, Outcome::Cancelled);
        leases.cancel(LEASE);
        assert!(leases.held().is_empty());
    }

    #[tokio::test]
    async fn a_worker_is_busy_while_a_step_runs() {
        let (leases, _grant) = granted();
        leases.until_busy().await;
        leases.close(LEASE);
        let idle = tokio::time::timeout(Duration::from_millis(1), leases.until_busy()).await;
        assert!(idle.is_err());
    }

    #[test]
    fn steps_are_measured_seldom_once_nothing_changes() {
        let (start, tick) = (Instant::now(), Duration::from_millis(25));
        let mut pace = Pace { changed: Some(start), measured: None };
        let due = (0..80).filter(|ticks| pace.is_due(start + tick * *ticks)).count();
        assert_eq!(due, 40 + 4, "all of the first second, four times in the second one");
        pace.changed = Some(start + tick * 80);
        assert!(pace.is_due(start + tick * 80) && pace.is_due(start + tick * 81));
    }

    #[test]
    fn load_is_time_on_a_processor_over_time() {
        let span = Duration::from_millis(25);
        assert_eq!(thousandths(25_000, span), Some(1000));
        assert_eq!(thousandths(50_000, span), Some(2000));
        assert_eq!(thousandths(0, span), Some(0));
        assert_eq!(thousandths(1, Duration::ZERO), None);
        let (leases, _grant) = granted();
        assert!(leases.loads().is_empty(), "what is not known is not told");
    }
}
