//! What a worker says of itself from time to time.

use std::path::PathBuf;
use std::time::Duration;

use farm_proto::WorkerMessage;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::leases::Leases;
use crate::machine::Machine;

/// How often leases are renewed.
const HEARTBEAT: Duration = Duration::from_millis(2500);
/// How often running steps are measured.
const LOAD: Duration = Duration::from_millis(25);

/// How often the machine is.
const MACHINE: Duration = Duration::from_secs(1);

/// Heartbeats and what the machine uses at all times, and loads while steps run.
#[derive(Debug)]
pub(crate) struct Pulse {
    heartbeat: Interval,
    load: Interval,
    machine: Interval,
    meter: Machine,
}

impl Pulse {
    /// The pulse of a worker whose store is at `root`.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self::of(HEARTBEAT, MACHINE, root)
    }

    fn of(heartbeat: Duration, machine: Duration, root: PathBuf) -> Self {
        let every = |period, after| {
            let mut interval = interval_at(Instant::now() + after, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self {
            heartbeat: every(heartbeat, Duration::ZERO),
            load: every(LOAD, Duration::ZERO),
            // A rate needs a while to have one.
            machine: every(machine, machine),
            meter: Machine::new(root),
        }
    }

    /// The next thing to say. May be given up and taken up again.
    pub(crate) async fn next(&mut self, leases: &Leases) -> WorkerMessage {
        loop {
            let load = async {
                leases.until_busy().await;
                self.load.tick().await;
                leases.loads()
            };
            let measured = tokio::select! {
                _ = self.machine.tick() => return WorkerMessage::Machine(self.meter.load()),
                _ = self.heartbeat.tick() => return WorkerMessage::Heartbeat { leases: leases.running() },
                measured = load => measured,
            };
            if !measured.is_empty() {
                return WorkerMessage::Load { leases: measured };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use farm_model::{LeaseId, Scope, StepDigest};

    use super::*;

    #[tokio::test]
    async fn an_idle_worker_only_sends_heartbeats_and_lists_what_runs() {
        let leases = Leases::default();
        let mut pulse = Pulse::of(Duration::from_millis(1), MACHINE, std::env::temp_dir());
        let listed = |message| {
            let WorkerMessage::Heartbeat { leases } = message else { panic!("{message:?} is no heartbeat") };
            leases
        };
        assert!(listed(pulse.next(&leases).await).is_empty());
        let lease = LeaseId { epoch: 1, counter: 1 };
        let _grant = leases.grant(lease, StepDigest([0; 32]), Scope::main()).unwrap();
        assert_eq!(listed(pulse.next(&leases).await), [lease]);
    }

    #[tokio::test]
    async fn a_worker_says_what_its_machine_uses() {
        let mut pulse = Pulse::of(MACHINE, Duration::from_millis(1), std::env::temp_dir());
        let leases = Leases::default();
        loop {
            if let WorkerMessage::Machine(load) = pulse.next(&leases).await {
                return assert!(load.processors > 0 && load.memory_total > 0, "{load:?}");
            }
        }
    }
}
