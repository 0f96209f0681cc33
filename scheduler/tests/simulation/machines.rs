//! Simulated machines: they fetch, run, report, crash and come back.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::{LayerDigest, LeaseId, Platform, Scope, StepDigest, WorkerId};
use farm_scheduler::{Capacity, Millis, RunningLease, Verdict};

use crate::builds::{FOREIGN, Nature, output, weight};
use crate::random::Random;
use crate::world::{Happening, World};

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: WorkerId,
    pub(crate) capacity: Capacity,
    pub(crate) bytes_per_second: u64,
    /// Counts its starts; even while it is down.
    pub(crate) life: u64,
    pub(crate) session: Option<u64>,
    /// Until when nothing gets through to it or from it.
    pub(crate) cut_off: u64,
    pub(crate) tasks: BTreeMap<LeaseId, Task>,
    pub(crate) holdings: BTreeSet<LayerDigest>,
    /// In so many of a thousand cases a task fails for no reason of its own.
    pub(crate) unreliable: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) key: StepDigest,
    pub(crate) scope: Scope,
    pub(crate) inputs: Vec<LayerDigest>,
    pub(crate) nature: Nature,
    pub(crate) ended: Option<Report>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    /// An input was nowhere to be found.
    pub(crate) lost: bool,
}

/// What a machine says.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Hello { capacity: Capacity, running: Vec<RunningLease>, holdings: BTreeSet<LayerDigest>, speed: u64 },
    Beat { leases: Vec<LeaseId> },
    Load { leases: Vec<(LeaseId, u32)> },
    Holds(LayerDigest),
    Finished { lease: LeaseId, report: Report },
}

/// What a machine is told.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Execute { lease: LeaseId, task: Task },
    Cancel(LeaseId),
    Drain,
}

impl Machine {
    pub(crate) fn draw(index: usize, random: &mut Random) -> Self {
        let slots = u32::try_from(random.within(1, 5)).unwrap();
        // The first three can do everything between them, so that something can always be done in the end.
        let foreign = index == 2 || (index > 2 && random.chance(100));
        let special = index == 1 || index == 2 || random.chance(100);
        Self {
            id: WorkerId(format!("w{index}")),
            capacity: Capacity {
                slots,
                most: slots * u32::try_from(random.within(1, 9)).unwrap(),
                platform: if foreign { FOREIGN.parse().unwrap() } else { Platform::host() },
                labels: if special { vec!["special".to_owned()] } else { Vec::new() },
            },
            bytes_per_second: if random.chance(200) { 5_000_000 } else { 200_000_000 },
            life: 0,
            session: None,
            cut_off: 0,
            tasks: BTreeMap::new(),
            holdings: BTreeSet::new(),
            unreliable: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life % 2 == 1
    }
}

impl World {
    pub(crate) fn start(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        if machine.is_up() {
            return;
        }
        machine.life += 1;
        let life = machine.life;
        let delay = self.random.within(1, 200);
        self.after(delay, Happening::Connects { machine: index, life });
        self.after(delay + 500, Happening::Beats { machine: index, life });
    }

    pub(crate) fn crash(&mut self, index: usize) {
        let (loses_disk, back) = (self.random.chance(400), self.random.within(100, 20_000));
        let machine = &mut self.machines[index];
        if !machine.is_up() {
            return;
        }
        machine.life += 1;
        machine.tasks.clear();
        if loses_disk {
            machine.holdings.clear();
        }
        self.disconnect(index);
        self.after(back, Happening::Starts(index));
    }

    /// The connection of a machine ends; the coordinator notices some time later.
    pub(crate) fn disconnect(&mut self, index: usize) {
        if let Some(session) = self.machines[index].session.take() {
            let notice = if self.random.chance(500) { self.random.within(1, 50) } else { 10_000 };
            self.after(notice, Happening::Dropped { machine: index, session });
        }
    }

    pub(crate) fn cut_off(&mut self, index: usize) {
        let span = if self.random.chance(300) { 30_000 } else { 5_000 };
        let until = self.now + self.random.within(50, span);
        self.machines[index].cut_off = until;
        let life = self.machines[index].life;
        // Beyond the idle time of connections both sides give the connection up.
        if until > self.now + 10_000 {
            if let Some(session) = self.machines[index].session.take() {
                self.after(10_000, Happening::Dropped { machine: index, session });
            }
            self.after(until - self.now, Happening::Connects { machine: index, life });
        }
    }

    pub(crate) fn connect(&mut self, index: usize, life: u64) {
        let machine = &self.machines[index];
        if machine.life != life || !machine.is_up() || machine.session.is_some() {
            return;
        }
        if self.coordinator.scheduler.is_none() || machine.cut_off > self.now {
            let delay = self.random.within(50, 1_000);
            self.after(delay, Happening::Connects { machine: index, life });
            return;
        }
        self.sessions += 1;
        let session = self.sessions;
        let machine = &mut self.machines[index];
        machine.session = Some(session);
        let running = machine.tasks.iter().map(|(lease, task)| RunningLease {
            lease: *lease,
            key: task.key,
            scope: task.scope.clone(),
        });
        let hello = Message::Hello {
            capacity: machine.capacity.clone(),
            running: running.collect(),
            holdings: machine.holdings.clone(),
            speed: machine.bytes_per_second,
        };
        let ended: Vec<LeaseId> =
            machine.tasks.iter().filter(|(_, task)| task.ended.is_some()).map(|(lease, _)| *lease).collect();
        self.say(index, hello);
        for lease in ended {
            self.report(index, lease);
        }
    }

    pub(crate) fn beat(&mut self, index: usize, life: u64) {
        if self.machines[index].life != life {
            return;
        }
        self.after(2_000, Happening::Beats { machine: index, life });
        let machine = &self.machines[index];
        let leases = machine.tasks.keys().copied().collect();
        let load = machine.tasks.iter().map(|(lease, task)| (*lease, task.nature.uses)).collect();
        self.say(index, Message::Beat { leases });
        self.say(index, Message::Load { leases: load });
    }

    pub(crate) fn obey(&mut self, index: usize, session: u64, order: Order) {
        if self.machines[index].session != Some(session) {
            return;
        }
        match order {
            Order::Execute { lease, task } => self.execute(index, lease, task),
            Order::Cancel(lease) => {
                if let Some(task) = self.machines[index].tasks.get_mut(&lease)
                    && task.ended.is_none()
                {
                    task.ended = Some(Report { verdict: Verdict::Cancelled, lost: false });
                    self.report(index, lease);
                }
            }
            Order::Drain => {
                // Whoever is on duty looks after it.
                let delay = self.random.within(1_000, 20_000);
                self.after(delay, Happening::Crashes(index));
            }
        }
    }

    fn execute(&mut self, index: usize, lease: LeaseId, task: Task) {
        let lacking: Vec<LayerDigest> = task
            .inputs
            .iter()
            .filter(|layer| !self.machines[index].holdings.contains(layer))
            .copied()
            .collect();
        let lost = lacking.iter().any(|layer| !self.can_be_fetched(layer));
        let fails = self.random.chance(self.machines[index].unreliable);
        let life = self.machines[index].life;
        let machine = &mut self.machines[index];
        let bytes: u64 = lacking.iter().map(weight).sum();
        let took = bytes * 1_000 / machine.bytes_per_second + task.nature.took;
        let verdict = match (lost, fails, task.nature.fails) {
            (true, ..) | (_, false, true) => Verdict::UserFailed,
            (_, true, _) => Verdict::InfrastructureFailed,
            (_, false, false) => Verdict::Succeeded { took: Millis(took) },
        };
        if !lost {
            machine.holdings.extend(&lacking);
        }
        machine.tasks.insert(lease, task);
        let report = Report { verdict, lost };
        let took = if lost || fails { 10 } else { took };
        self.after(took, Happening::Ends { machine: index, life, lease, report });
        if !lost {
            for layer in lacking {
                self.say(index, Message::Holds(layer));
            }
        }
    }

    pub(crate) fn end_task(&mut self, index: usize, life: u64, lease: LeaseId, report: Report) {
        let machine = &mut self.machines[index];
        let Some(task) = machine.tasks.get_mut(&lease).filter(|_| machine.life == life) else { return };
        if task.ended.is_some() {
            return;
        }
        task.ended = Some(report);
        if let Verdict::Succeeded { .. } = report.verdict {
            let layer = output(&task.key);
            machine.holdings.insert(layer);
            self.say(index, Message::Holds(layer));
        }
        self.report(index, lease);
    }

    /// Reports a task, if anybody listens; else that is done after the next connection.
    fn report(&mut self, index: usize, lease: LeaseId) {
        let machine = &mut self.machines[index];
        if machine.session.is_none() {
            return;
        }
        if let Some(report) = machine.tasks.remove(&lease).and_then(|task| task.ended) {
            self.say(index, Message::Finished { lease, report });
        }
    }

    /// Whether some machine that can be reached, or the coordinator, has a layer.
    fn can_be_fetched(&self, layer: &LayerDigest) -> bool {
        let reachable = |machine: &&Machine| machine.is_up() && machine.cut_off <= self.now;
        self.coordinator.stored.contains(layer)
            || self.machines.iter().filter(reachable).any(|machine| machine.holdings.contains(layer))
    }
}
