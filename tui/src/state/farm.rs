//! A whole farm, as a fold over its stream of events.

mod builds;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use farm_model::event::{Action, FarmEvent, FarmRecorded, StoreLoad, WorkerFacts};
use farm_model::{BuildId, WorkerId};

use super::build::Build;
use super::cache::{Cache, rate};
use super::images::{Images, Sample};
use super::series::Series;
use super::worker::{Standing, Worker};
use builds::nanos;

/// Builds that are kept after their end.
const MOST_ENDED: usize = 400;
/// Workers that are kept after they were lost.
const MOST_LOST: usize = 200;
/// Actions that are kept.
const MOST_ACTIONS: usize = 1000;
/// Samples of the store that are kept.
const MOST_STORE_SAMPLES: usize = 240;
/// Waits for a slot that are kept.
const MOST_WAITS: usize = 512;
/// Rates: buckets of so many seconds, and how many.
const BUCKET: u32 = 5;
const BUCKETS: usize = 120;
/// Buckets that make up what is called now.
const NOW: usize = 12;

/// Whether the stream is alive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Link {
    /// Nothing was heard yet.
    #[default]
    Waiting,
    /// What was true at the beginning is being told.
    CatchingUp,
    /// Events come as things happen.
    Live,
    /// The coordinator is gone; what is shown is as it was.
    Lost {
        /// Nanoseconds since the Unix epoch.
        since: i64,
        /// Why, in words.
        reason: String,
    },
    /// A recording has come to its end.
    Over,
}

/// Sums over a farm. What is `saved` and looked up is counted since the stream began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Builds that run.
    pub builds: usize,
    /// Of these, builds none of whose steps runs while some wait for a slot.
    pub blocked: usize,
    /// Steps of running builds that wait for a slot.
    pub queued: usize,
    /// Steps that are being done.
    pub running: usize,
    /// Steps of running builds.
    pub steps: usize,
    /// Of these, steps of which nothing more becomes.
    pub over: usize,
    /// Steps that were found in the cache.
    pub hits: u64,
    /// Steps that were not.
    pub misses: u64,
    /// Of these, steps that another build was doing already.
    pub shared: u64,
    /// Time that hits saved.
    pub saved_micros: u64,
    /// Bytes that hits saved.
    pub saved_bytes: u64,
    /// Bytes that workers fetched from each other.
    pub fetched: u64,
    /// Builds that ended well since the stream began.
    pub succeeded: u64,
    /// Builds that failed since the stream began.
    pub failed: u64,
}

/// What is counted in a bucket of time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tick {
    /// Hits.
    pub hits: u64,
    /// Misses.
    pub misses: u64,
    /// Steps that were done.
    pub done: u64,
    /// The most steps that ran at once.
    pub running: usize,
}

/// A farm.
#[derive(Clone, Debug)]
pub struct Farm {
    /// What it is called.
    pub name: String,
    /// The coordinator's version.
    pub version: String,
    link: Link,
    time: i64,
    builds: BTreeMap<BuildId, Build>,
    /// Builds that ended, those that did first first.
    ended: VecDeque<BuildId>,
    workers: BTreeMap<WorkerId, Worker>,
    store: VecDeque<(i64, StoreLoad)>,
    actions: VecDeque<Action>,
    cache: Cache,
    images: Images,
    totals: Totals,
    ticks: Series<Tick>,
    /// How long steps waited for a slot, in microseconds, the newest last.
    waits: VecDeque<u64>,
}

impl Default for Farm {
    fn default() -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            link: Link::Waiting,
            time: 0,
            builds: BTreeMap::new(),
            ended: VecDeque::new(),
            workers: BTreeMap::new(),
            store: VecDeque::new(),
            actions: VecDeque::new(),
            cache: Cache::default(),
            images: Images::default(),
            totals: Totals::default(),
            ticks: Series::new(BUCKET, BUCKETS),
            waits: VecDeque::new(),
        }
    }
}

impl Farm {
    /// Takes the next event.
    pub fn apply(&mut self, recorded: &FarmRecorded) {
        let time = recorded.time;
        self.time = self.time.max(time);
        if !matches!(recorded.event, FarmEvent::Past(_)) {
            // Silence shows as well.
            self.ticks.reach(self.time);
        }
        match &recorded.event {
            FarmEvent::Began { farm, version } => self.begin(farm, version),
            FarmEvent::CaughtUp => self.link = Link::Live,
            FarmEvent::Past(past) => {
                if !self.builds.contains_key(&past.build) {
                    if let (Some(bytes), Some(name)) = (past.image_bytes, past.names.first()) {
                        let end = past.started.saturating_add(nanos(past.micros));
                        let sample =
                            Sample { time: end, build: past.build, bytes, discarded: None, written: None };
                        self.images.made(name, sample);
                    }
                    self.builds.insert(past.build, Build::of_past(past.clone()));
                    self.retire(past.build);
                }
            }
            FarmEvent::Build { build, recorded, .. } => self.build_event(*build, time, recorded),
            FarmEvent::Worker(facts) => self.worker(facts),
            FarmEvent::WorkerLost { worker } => self.lose(worker, time),
            FarmEvent::Load { worker, load } => {
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.sample(time, *load);
                }
            }
            FarmEvent::Store(store) => {
                self.store.push_back((time, store.clone()));
                let over = self.store.len().saturating_sub(MOST_STORE_SAMPLES);
                self.store.drain(..over);
            }
            FarmEvent::Acted(action) => {
                if !self.actions.contains(action) {
                    self.actions.push_back(action.clone());
                }
                let over = self.actions.len().saturating_sub(MOST_ACTIONS);
                self.actions.drain(..over);
            }
        }
    }

    /// The stream has broken off; it will begin anew.
    pub fn lost(&mut self, time: i64, reason: &str) {
        let since = match self.link {
            Link::Lost { since, .. } => since,
            Link::Waiting | Link::CatchingUp | Link::Live | Link::Over => time,
        };
        self.link = Link::Lost { since, reason: reason.to_owned() };
    }

    /// The recording has come to its end.
    pub fn over(&mut self) {
        self.link = Link::Over;
    }

    /// Whether the stream is alive.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The time of the newest event, in nanoseconds since the Unix epoch.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// The builds that are known.
    pub fn builds(&self) -> &BTreeMap<BuildId, Build> {
        &self.builds
    }

    /// The workers that are or were connected.
    pub fn workers(&self) -> &BTreeMap<WorkerId, Worker> {
        &self.workers
    }

    /// What the store held, with the times in nanoseconds, the oldest first.
    pub fn store(&self) -> &VecDeque<(i64, StoreLoad)> {
        &self.store
    }

    /// What people did, the oldest first.
    pub fn actions(&self) -> &VecDeque<Action> {
        &self.actions
    }

    /// What the cache did.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// How large images became.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Sums over all of it.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What happened in buckets of some seconds, the oldest first.
    pub fn ticks(&self) -> &Series<Tick> {
        &self.ticks
    }

    /// The part of look-ups of the last minute that were hits, from 0 to 1; of all when there were none of late.
    pub fn hit_rate(&self) -> Option<f64> {
        let (hits, misses) = self
            .ticks
            .iter()
            .rev()
            .take(NOW)
            .fold((0, 0), |(hits, misses), tick| (hits + tick.hits, misses + tick.misses));
        rate(hits, hits + misses).or_else(|| rate(self.totals.hits, self.totals.hits + self.totals.misses))
    }

    /// How long steps waited for a slot of late, in microseconds: the median, and what one in twenty exceeds.
    pub fn queue_wait(&self) -> Option<(u64, u64)> {
        let mut waits: Vec<u64> = self.waits.iter().copied().collect();
        waits.sort_unstable();
        let last = waits.len().checked_sub(1)?;
        Some((waits[last / 2], waits[last * 19 / 20]))
    }

    /// Slots in use and slots of workers that take work.
    pub fn slots(&self) -> (usize, usize) {
        let up = self.workers.values().filter(|worker| worker.standing == Standing::Up);
        let slots = up.map(|worker| usize::try_from(worker.facts.slots).unwrap_or(usize::MAX));
        (self.workers.values().map(Worker::running).sum(), slots.fold(0, usize::saturating_add))
    }

    /// Workers that are up, draining and lost.
    pub fn standings(&self) -> (usize, usize, usize) {
        self.workers.values().fold((0, 0, 0), |(up, draining, lost), worker| match worker.standing {
            Standing::Up => (up + 1, draining, lost),
            Standing::Draining => (up, draining + 1, lost),
            Standing::Lost { .. } => (up, draining, lost + 1),
        })
    }

    fn begin(&mut self, farm: &str, version: &str) {
        // What was counted and drawn stays; what is true is told anew.
        for worker in self.workers.values_mut() {
            worker.lose(self.time);
        }
        self.builds.retain(|_, build| build.is_over());
        let Totals { hits, misses, shared, saved_micros, saved_bytes, fetched, succeeded, failed, .. } =
            self.totals;
        self.totals = Totals {
            hits,
            misses,
            shared,
            saved_micros,
            saved_bytes,
            fetched,
            succeeded,
            failed,
            ..Totals::default()
        };
        (self.name, self.version) = (farm.to_owned(), version.to_owned());
        self.link = Link::CatchingUp;
    }

    fn worker(&mut self, facts: &WorkerFacts) {
        let standing = if facts.draining { Standing::Draining } else { Standing::Up };
        let worker = self.workers.entry(facts.worker.clone()).or_insert_with(|| Worker::new(facts.clone()));
        (worker.facts, worker.standing) = (facts.clone(), standing);
    }

    fn lose(&mut self, worker: &WorkerId, time: i64) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.lose(time);
        }
        let lost = |worker: &Worker| match worker.standing {
            Standing::Lost { since } => Some(since),
            Standing::Up | Standing::Draining => None,
        };
        if self.workers.values().filter(|worker| lost(worker).is_some()).count() > MOST_LOST {
            let lost = self.workers.iter().filter_map(|(id, worker)| Some((lost(worker)?, id)));
            if let Some((_, oldest)) = lost.min().map(|(since, id)| (since, id.clone())) {
                self.workers.remove(&oldest);
            }
        }
    }
}
