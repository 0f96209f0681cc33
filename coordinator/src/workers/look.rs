//! What those who watch the farm see of the workers: what has changed since they last looked.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use farm_model::WorkerId;
use farm_model::event::{MachineLoad, WorkerFacts};

use super::{Present, State, Workers};

/// More than any machine has, of anything that is counted.
const MOST: u64 = 1 << 60;
/// More processors than any machine has.
const MOST_PROCESSORS: u32 = 1 << 16;

/// The eyes of one viewer.
#[derive(Debug, Default)]
pub(crate) struct Look {
    revision: u64,
    departures: u64,
    known: BTreeSet<WorkerId>,
}

/// What one look shows.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Workers that came, or are not as they were.
    pub(crate) changed: Vec<WorkerFacts>,
    /// What machines use that have said so again.
    pub(crate) loads: Vec<(WorkerId, MachineLoad)>,
    /// Workers that went.
    pub(crate) gone: Vec<WorkerId>,
}

impl Workers {
    /// A worker's session says what its machine uses.
    pub(crate) fn measured(&self, worker: &WorkerId, session: u64, load: MachineLoad) {
        let mut present = self.present();
        let present = present.get_mut(worker).filter(|present| present.session == session);
        if let Some(present) = present {
            let load = credible(load);
            if present.load.is_none_or(|(before, _)| before != load) {
                present.load = Some((load, self.revise()));
            }
        }
    }

    /// What has changed since the last look.
    pub(crate) fn look(&self, look: &mut Look) -> Seen {
        let mut seen = Seen::default();
        let present = self.present();
        // Under the lock everything up to this revision is there.
        let (revision, departures) =
            (self.revision.load(Ordering::Relaxed), self.departures.load(Ordering::Relaxed));
        if departures != look.departures {
            let gone = look.known.iter().filter(|worker| !present.contains_key(*worker));
            seen.gone = gone.cloned().collect();
            look.known.retain(|worker| present.contains_key(worker));
        }
        if revision != look.revision {
            for (worker, present) in &*present {
                if present.since > look.revision {
                    look.known.insert(worker.clone());
                    seen.changed.push(facts(worker, present));
                }
                if let Some((load, at)) = present.load
                    && at > look.revision
                {
                    seen.loads.push((worker.clone(), load));
                }
            }
        }
        (look.revision, look.departures) = (revision, departures);
        seen
    }
}

fn facts(worker: &WorkerId, present: &Present) -> WorkerFacts {
    WorkerFacts {
        worker: worker.clone(),
        platform: present.platform.to_string(),
        slots: present.slots,
        most: present.most,
        labels: present.labels.clone(),
        draining: present.state == State::Draining,
    }
}

/// Foreign numbers, so that nobody who adds them up need be careful.
fn credible(load: MachineLoad) -> MachineLoad {
    let processors = load.processors.clamp(1, MOST_PROCESSORS);
    let (memory_total, disk_total) = (load.memory_total.min(MOST), load.disk_total.min(MOST));
    MachineLoad {
        cpu: load.cpu.min(u64::from(processors) * 1000),
        processors,
        memory: load.memory.min(memory_total),
        memory_total,
        received: load.received.min(MOST),
        sent: load.sent.min(MOST),
        disk: load.disk.min(disk_total),
        disk_total,
    }
}

#[cfg(test)]
mod tests {
    use farm_model::Platform;
    use farm_proto::client::Duty;
    use tokio::sync::mpsc;

    use super::super::Hello;
    use super::*;

    fn join(workers: &Workers, name: &str, session: u64) {
        let (outbox, _) = mpsc::channel(1);
        let (platform, labels, running) = (Platform::host(), Vec::new(), Vec::new());
        let hello =
            Hello { slots: 1, most: 2, platform, labels, address: None, running, connection: None, outbox };
        workers.join(worker(name), session, hello);
    }

    fn worker(name: &str) -> WorkerId {
        WorkerId(name.to_owned())
    }

    #[test]
    fn a_look_shows_what_has_changed_since_the_last() {
        let (workers, mut look) = (Workers::new(), Look::default());
        join(&workers, "a", 1);
        join(&workers, "b", 2);
        assert_eq!(workers.look(&mut look).changed.len(), 2);
        let seen = workers.look(&mut look);
        assert!(seen.changed.is_empty() && seen.loads.is_empty() && seen.gone.is_empty());
        let load = MachineLoad { cpu: 5, processors: 1, ..MachineLoad::default() };
        workers.measured(&worker("a"), 1, load);
        workers.measured(&worker("b"), 1, load);
        assert_eq!(workers.look(&mut look).loads, [(worker("a"), load)], "a former session says nothing");
        workers.measured(&worker("a"), 1, load);
        assert!(workers.look(&mut look).loads.is_empty(), "nothing is said twice");
        assert!(workers.rest(&worker("b"), Duty::Drained) && !workers.rest(&worker("c"), Duty::Drained));
        assert!(workers.leave(&worker("a"), 1));
        let seen = workers.look(&mut look);
        assert_eq!(seen.gone, [worker("a")]);
        assert!(matches!(&seen.changed[..], [facts] if facts.draining && facts.worker == worker("b")));
    }

    #[test]
    fn numbers_that_cannot_be_are_cut() {
        let load = MachineLoad {
            cpu: u64::MAX,
            processors: u32::MAX,
            memory: u64::MAX,
            memory_total: u64::MAX,
            received: u64::MAX,
            sent: u64::MAX,
            disk: 5,
            disk_total: 4,
        };
        let load = credible(load);
        assert_eq!(load.cpu, u64::from(MOST_PROCESSORS) * 1000);
        assert_eq!((load.memory, load.sent, load.disk), (MOST, MOST, 4));
    }
}
