//! The way to the workers: leases out, reports in.
//!
//! Dropping the future of [`WorkerLink::execute`] gives the lease up: the worker is told to cancel it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use farm_model::BuildEvent;
use farm_proto::{CoordinatorMessage, LeaseId, Outcome, Task, WorkerMessage};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Error;
use crate::report::Reporter;

/// How many messages of one lease may wait; a log that nobody reads then slows its step down, not the worker's memory.
const REPORTS: usize = 256;

/// Where reports go, by lease; none once the worker is gone.
type Waiting = Arc<Mutex<Option<BTreeMap<LeaseId, mpsc::Sender<WorkerMessage>>>>>;

/// One worker, seen from the coordinator.
#[derive(Debug)]
pub(crate) struct WorkerLink {
    commands: mpsc::UnboundedSender<CoordinatorMessage>,
    waiting: Waiting,
    epoch: u64,
    counter: AtomicU64,
    pump: JoinHandle<()>,
}

impl WorkerLink {
    /// Starts to listen to `reports`.
    #[expect(clippy::disallowed_methods, reason = "the handle is kept and aborted on drop")]
    pub(crate) fn new(
        epoch: u64,
        commands: mpsc::UnboundedSender<CoordinatorMessage>,
        mut reports: mpsc::Receiver<WorkerMessage>,
    ) -> Self {
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let routes = Arc::clone(&waiting);
        let pump = tokio::spawn(async move {
            while let Some(message) = reports.recv().await {
                let route =
                    lock(&routes).as_ref().and_then(|routes| routes.get(&lease_of(&message)).cloned());
                // A report on a lease that was given up has no route: it is late, and ignored.
                if let Some(route) = route {
                    let _given_up = route.send(message).await;
                }
            }
            *lock(&routes) = None;
        });
        Self { commands, waiting, epoch, counter: AtomicU64::new(0), pump }
    }

    /// Has `task` done. Every message but the last is reported as what `event` makes of it.
    pub(crate) async fn execute(
        &self,
        task: Task,
        reporter: &Reporter,
        event: impl Fn(WorkerMessage) -> Option<BuildEvent> + Send,
    ) -> Result<Outcome, Error> {
        let lease = LeaseId { epoch: self.epoch, counter: self.counter.fetch_add(1, Ordering::Relaxed) };
        let (route, mut messages) = mpsc::channel(REPORTS);
        lock(&self.waiting).as_mut().ok_or(Error::WorkerGone)?.insert(lease, route);
        let mut granted = Granted { link: self, lease, open: true };
        let execute = CoordinatorMessage::Execute { lease, task };
        self.commands.send(execute).map_err(|_| Error::WorkerGone)?;
        while let Some(message) = messages.recv().await {
            if let WorkerMessage::Finished { outcome, .. } = message {
                granted.open = false;
                return Ok(outcome);
            }
            if let Some(event) = event(message) {
                reporter.send(event).await;
            }
        }
        Err(Error::WorkerGone)
    }
}

impl Drop for WorkerLink {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// A lease that is cancelled unless it was reported on.
struct Granted<'a> {
    link: &'a WorkerLink,
    lease: LeaseId,
    open: bool,
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        if let Some(routes) = lock(&self.link.waiting).as_mut() {
            routes.remove(&self.lease);
        }
        if self.open {
            // A worker that is gone has nothing left to cancel.
            let _gone = self.link.commands.send(CoordinatorMessage::Cancel { lease: self.lease });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lease_of(message: &WorkerMessage) -> LeaseId {
    match message {
        WorkerMessage::Started { lease }
        | WorkerMessage::Logged { lease, .. }
        | WorkerMessage::Warned { lease, .. }
        | WorkerMessage::Finished { lease, .. } => *lease,
    }
}

#[cfg(test)]
mod tests {
    use farm_proto::RunTask;

    use super::*;

    fn task() -> Task {
        let digest = farm_model::result::LayerRef {
            digest: farm_model::LayerDigest([0; 32]),
            content: farm_model::ContentDigest([0; 32]),
        };
        Task::Run(Box::new(RunTask {
            layers: Vec::new(),
            merged: digest,
            argv: Vec::new(),
            env: Vec::new(),
            user: String::new(),
            workdir: "/".to_owned(),
            mounts: Vec::new(),
            files: Vec::new(),
            network: farm_model::op::Network::None,
            hostname: String::new(),
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
        }))
    }

    #[tokio::test]
    async fn a_future_that_is_dropped_cancels_its_lease() {
        let (commands, mut sent) = mpsc::unbounded_channel();
        let (_reports, receiver) = mpsc::channel(1);
        let link = WorkerLink::new(1, commands, receiver);
        {
            let reporter = Reporter::new(mpsc::channel(1).0);
            let mut execution = Box::pin(link.execute(task(), &reporter, |_| None));
            tokio::select! {
                biased;
                _ = &mut execution => unreachable!("nobody reports"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(matches!(sent.recv().await, Some(CoordinatorMessage::Execute { .. })));
        assert!(matches!(sent.recv().await, Some(CoordinatorMessage::Cancel { .. })));
    }

    #[tokio::test]
    async fn a_worker_that_goes_away_ends_its_leases() {
        let (commands, _sent) = mpsc::unbounded_channel();
        let (reports, receiver) = mpsc::channel(1);
        let link = WorkerLink::new(1, commands, receiver);
        drop(reports);
        tokio::task::yield_now().await;
        let ended = link.execute(task(), &Reporter::new(mpsc::channel(1).0), |_| None).await;
        assert!(matches!(ended, Err(Error::WorkerGone)));
    }
}
