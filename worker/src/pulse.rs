//! What a worker says of itself from time to time.

use std::time::Duration;

use farm_proto::WorkerMessage;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::leases::Leases;

/// How often leases are renewed.
const HEARTBEAT: Duration = Duration::from_millis(2500);
/// How often running steps are measured.
const LOAD: Duration = Duration::from_millis(25);

/// Heartbeats at all times, and loads while steps run.
#[derive(Debug)]
pub(crate) struct Pulse {
    heartbeat: Interval,
    load: Interval,
}

impl Default for Pulse {
    fn default() -> Self {
        Self::of(HEARTBEAT)
    }
}

impl Pulse {
    fn of(heartbeat: Duration) -> Self {
        let every = |period| {
            let mut interval = interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self { heartbeat: every(heartbeat), load: every(LOAD) }
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
        let mut pulse = Pulse::of(Duration::from_millis(1));
        let listed = |message| {
            let WorkerMessage::Heartbeat { leases } = message else { panic!("{message:?} is no heartbeat") };
            leases
        };
        assert!(listed(pulse.next(&leases).await).is_empty());
        let lease = LeaseId { epoch: 1, counter: 1 };
        let _grant = leases.grant(lease, StepDigest([0; 32]), Scope::main()).unwrap();
        assert_eq!(listed(pulse.next(&leases).await), [lease]);
    }
}
