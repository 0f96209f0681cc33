//! A farm that never was: many workers and builds, as the stream of events that a console watches.
//!
//! The same seed gives the same events. They are plausible in what a console makes of them: stages wait for each other, a
//! step that missed makes those after it miss, workers have slots, images grow a little from build to build. The lines
//! that steps write are absent, as they are from the stream of a real farm.

mod live;
pub mod measure;
mod plan;

use std::collections::VecDeque;

use farm_model::event::{
    Action, Deed, FarmEvent, FarmRecorded, MachineLoad, PastBuild, PastOutcome, StoreLoad, StoreRow,
    WorkerFacts,
};
use farm_model::{BuildId, WorkerId};

use crate::random::Random;
use live::Live;

/// When it begins, in nanoseconds since the Unix epoch.
const START: i64 = 1_795_286_400_000_000_000;
/// Builds that had ended before.
const PAST: u64 = 200;

/// How large a farm is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Workers, of four slots each.
    pub workers: usize,
    /// Builds that run at any time, of about 25 steps each.
    pub builds: usize,
    /// Events a second, samples of machines included.
    pub rate: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { seed: 1, workers: 1000, builds: 400, rate: 5000 }
    }
}

/// The farm, event by event.
#[derive(Debug)]
pub struct Crowd {
    random: Random,
    size: Size,
    now: i64,
    workers: Vec<Machine>,
    builds: Vec<Live>,
    /// What was decided and not yet told.
    queue: VecDeque<FarmEvent>,
    told: u64,
    next_worker: usize,
    next_build: u64,
}

/// A worker as it is simulated.
#[derive(Debug)]
struct Machine {
    id: WorkerId,
    running: u32,
    load: MachineLoad,
    draining: bool,
}

/// Slots of each worker.
const SLOTS: u32 = 4;

impl Crowd {
    /// A farm in the middle of its work, before anything was told of it.
    pub fn new(size: Size) -> Self {
        let mut random = Random::new(size.seed, "crowd");
        let workers = (0..size.workers).map(|number| Machine::new(number, &mut random)).collect();
        let mut crowd = Self {
            random,
            size,
            now: START,
            workers,
            builds: Vec::new(),
            queue: VecDeque::new(),
            told: 0,
            next_worker: 0,
            next_build: 0,
        };
        crowd.begin();
        crowd
    }

    /// The time of the next event, in nanoseconds since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Everything that is true at the beginning, up to [`FarmEvent::CaughtUp`].
    pub fn beginning(&mut self) -> Vec<FarmRecorded> {
        let events: Vec<FarmEvent> = self.queue.drain(..).collect();
        events.into_iter().map(|event| FarmRecorded { time: self.now, event }).collect()
    }

    /// The next event.
    pub fn next_event(&mut self) -> FarmRecorded {
        self.told += 1;
        self.now += 1_000_000_000 / i64::try_from(self.size.rate.max(1)).unwrap_or(i64::MAX);
        while self.queue.is_empty() {
            self.decide();
        }
        let event = self.queue.pop_front().unwrap_or(FarmEvent::CaughtUp);
        FarmRecorded { time: self.now, event }
    }

    /// What is still to be told when nothing runs any more: samples of the machines alone.
    pub fn sample(&mut self) -> FarmRecorded {
        let event = self.load();
        FarmRecorded { time: self.now, event }
    }

    /// Lets time pass.
    pub fn wait(&mut self, nanos: i64) {
        self.now += nanos;
    }

    /// A build that runs.
    pub fn a_build(&self) -> Option<BuildId> {
        self.builds.iter().max_by_key(|build| build.steps()).map(Live::id)
    }

    fn begin(&mut self) {
        let (farm, version) = ("crowd".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        self.queue.push_back(FarmEvent::Began { farm, version });
        for worker in &self.workers {
            self.queue.push_back(FarmEvent::Worker(worker.facts()));
            self.queue.push_back(FarmEvent::Load { worker: worker.id.clone(), load: worker.load });
        }
        for _ in 0..PAST {
            let past = self.past();
            self.queue.push_back(FarmEvent::Past(past));
        }
        for _ in 0..self.size.builds {
            let mut build = self.build();
            // Those that run have come to different points.
            for _ in 0..self.random.between(1, 80) {
                if !build.is_over() {
                    self.advance(&mut build);
                }
            }
            self.builds.push(build);
        }
        self.queue.push_back(store(&mut self.random));
        self.queue.push_back(FarmEvent::CaughtUp);
    }

    fn decide(&mut self) {
        match self.random.between(0, 9999) {
            0..2 => {
                let event = store(&mut self.random);
                self.queue.push_back(event);
            }
            2..4 => self.lose_or_drain(),
            // Each worker every few seconds.
            4..700 => {
                let event = self.load();
                self.queue.push_back(event);
            }
            _ => self.work(),
        }
    }

    fn work(&mut self) {
        let last = u64::try_from(self.builds.len().saturating_sub(1)).unwrap_or(0);
        let at = usize::try_from(self.random.between(0, last)).unwrap_or(0);
        if self.builds.is_empty() {
            let event = self.load();
            return self.queue.push_back(event);
        }
        let mut build = self.builds.swap_remove(at);
        self.advance(&mut build);
        if build.is_over() {
            build = self.build();
            self.advance(&mut build);
        }
        self.builds.push(build);
    }

    fn advance(&mut self, build: &mut Live) {
        let free = self.free_worker();
        let events = build.advance(self.now, &self.workers[free].id, &mut self.random);
        for event in &events {
            self.count(event, build);
        }
        let (id, mut sequence) = (build.id(), build.sequence(events.len()));
        for recorded in events {
            self.queue.push_back(FarmEvent::Build { build: id, sequence, recorded });
            sequence += 1;
        }
    }

    /// Keeps count of the slots that are taken.
    fn count(&mut self, recorded: &farm_model::Recorded, build: &Live) {
        use farm_model::BuildEvent;
        let (worker, by) = if let BuildEvent::Started { worker: Some(worker), .. } = &recorded.event {
            (Some(worker), 1)
        } else if let BuildEvent::Finished { step, .. } | BuildEvent::Failed { step, .. } = &recorded.event {
            (build.worker_of(*step), -1)
        } else {
            return;
        };
        let number = worker.and_then(|worker| worker.0.strip_prefix("w-")?.parse::<usize>().ok());
        if let Some(machine) = number.and_then(|number| self.workers.get_mut(number)) {
            machine.running = machine.running.saturating_add_signed(by);
        }
    }

    fn free_worker(&mut self) -> usize {
        let count = self.workers.len();
        for _ in 0..count {
            self.next_worker = (self.next_worker + 1) % count;
            let machine = &self.workers[self.next_worker];
            if machine.running < SLOTS && !machine.draining {
                break;
            }
        }
        self.next_worker
    }

    fn build(&mut self) -> Live {
        self.next_build += 1;
        let id = BuildId(blake3_prefix(self.size.seed, self.next_build));
        Live::new(id, self.now, &mut self.random)
    }

    fn load(&mut self) -> FarmEvent {
        let count = u64::try_from(self.workers.len()).unwrap_or(1).max(1);
        let at = usize::try_from(self.random.between(0, count - 1)).unwrap_or(0);
        let machine = &mut self.workers[at];
        machine.drift(&mut self.random);
        FarmEvent::Load { worker: machine.id.clone(), load: machine.load }
    }

    fn lose_or_drain(&mut self) {
        let count = u64::try_from(self.workers.len()).unwrap_or(1).max(1);
        let at = usize::try_from(self.random.between(0, count - 1)).unwrap_or(0);
        let machine = &mut self.workers[at];
        machine.draining = !machine.draining;
        let (by, worker, time) = ("ann".to_owned(), machine.id.clone(), self.now);
        let deed = if machine.draining { Deed::Drained { worker } } else { Deed::Restored { worker } };
        let facts = machine.facts();
        self.queue.push_back(FarmEvent::Worker(facts));
        self.queue.push_back(FarmEvent::Acted(Action { time, by, deed, refused: None }));
    }

    fn past(&mut self) -> PastBuild {
        self.next_build += 1;
        let random = &mut self.random;
        let steps = u32::try_from(random.between(8, 40)).unwrap_or(8);
        let number = random.between(0, plan::IMAGES - 1);
        PastBuild {
            build: BuildId(blake3_prefix(self.size.seed, self.next_build)),
            started: START - i64::try_from(random.between(60, 90_000)).unwrap_or(60) * 1_000_000_000,
            micros: random.between(1_000_000, 50_000_000),
            outcome: if random.between(0, 9) == 0 { PastOutcome::Failed } else { PastOutcome::Succeeded },
            dockerfile: "Dockerfile".to_owned(),
            context: ".".to_owned(),
            target: None,
            names: vec![plan::image_name(number)],
            client: "ci".to_owned(),
            steps,
            cached: steps / 2,
            done: steps,
            image_bytes: Some(plan::image_bytes(number)),
        }
    }
}

impl Machine {
    fn new(number: usize, random: &mut Random) -> Self {
        let load = MachineLoad {
            cpu: random.between(200, 7000),
            processors: 8,
            memory: random.between(2, 28) << 30,
            memory_total: 32 << 30,
            received: random.between(0, 100_000_000),
            sent: random.between(0, 50_000_000),
            disk: random.between(50, 450) << 30,
            disk_total: 512 << 30,
        };
        Self { id: WorkerId(format!("w-{number:04}")), running: 0, load, draining: false }
    }

    fn facts(&self) -> WorkerFacts {
        WorkerFacts {
            worker: self.id.clone(),
            platform: "linux/amd64".to_owned(),
            slots: SLOTS,
            most: SLOTS * 2,
            labels: vec!["zone=a".to_owned()],
            draining: self.draining,
        }
    }

    fn drift(&mut self, random: &mut Random) {
        let near = |random: &mut Random, value: u64, most: u64| {
            let step = most / 12;
            (value + random.between(0, 2 * step)).saturating_sub(step).min(most)
        };
        self.load.cpu = near(random, self.load.cpu, 8000);
        self.load.memory = near(random, self.load.memory, self.load.memory_total);
        self.load.received = near(random, self.load.received, 120_000_000);
        self.load.sent = near(random, self.load.sent, 60_000_000);
    }
}

fn store(random: &mut Random) -> FarmEvent {
    let row = |kind: &str, count: u64, bytes: u64| StoreRow {
        kind: kind.to_owned(),
        count,
        bytes,
        reclaimable: bytes / 3,
    };
    let cold = random.between(300, 340) << 30;
    FarmEvent::Store(StoreLoad {
        rows: vec![row("layers", 41_000, 900 << 30), row("blobs", 210_000, 120 << 30)],
        hot: 580 << 30,
        cold,
        free: 700 << 30,
        limit: Some(1 << 40),
    })
}

fn blake3_prefix(seed: u64, number: u64) -> [u8; 8] {
    let digest = blake3::Hasher::new().update(&seed.to_le_bytes()).update(&number.to_le_bytes()).finalize();
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&digest.as_bytes()[..8]);
    prefix
}

#[cfg(test)]
mod tests;
