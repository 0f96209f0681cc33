//! A whole farm, as a fold over its stream of events.

use std::collections::{BTreeMap, VecDeque};

use farm_model::event::{Action, FarmEvent, FarmRecorded, StoreLoad, WorkerFacts};
use farm_model::{BuildEvent, BuildId, Recorded, StepId, WorkerId};

use super::build::Build;
use super::cache::{Cache, rate};
use super::images::{Images, Sample};
use super::series::Series;
use super::step::Lookup;
use super::worker::{SpanEnd, Standing, Worker};

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

    fn build_event(&mut self, id: BuildId, time: i64, recorded: &Recorded) {
        if matches!(recorded.event, BuildEvent::Requested(_)) {
            // Told from its start: also when it was known before.
            let known = self.builds.insert(id, Build::default());
            self.uncount(known.as_ref());
        }
        // What is told of the past is not news: it is drawn where it happened, but not counted again.
        let is_news = self.link == Link::Live;
        let build = self.builds.entry(id).or_default();
        let before = build.counts();
        let was_over = build.is_over();
        let was_blocked = is_blocked(build);
        let lookup = step_of(&recorded.event).and_then(|step| build.step(step)).map(|step| step.lookup);
        build.apply(recorded);
        let time =
            if build.started() == 0 { time } else { build.started().saturating_add(nanos(recorded.at)) };
        let (after, is_over) = (build.counts(), build.is_over());
        let totals = &mut self.totals;
        let open = |counts: super::Counts, over: bool| if over { super::Counts::default() } else { counts };
        let (before, after) = (open(before, was_over), open(after, is_over));
        let first = matches!(recorded.event, BuildEvent::Requested(_));
        shift(&mut totals.builds, usize::from(!was_over && !first), usize::from(!is_over));
        shift(&mut totals.blocked, usize::from(was_blocked), usize::from(is_blocked(build)));
        shift(&mut totals.queued, before.queued, after.queued);
        shift(&mut totals.running, before.running, after.running);
        shift(&mut totals.steps, before.steps, after.steps);
        shift(&mut totals.over, before.over(), after.over());
        if let Some(step) = step_of(&recorded.event) {
            self.step_event(id, step, time, &recorded.event, lookup, is_news);
        }
        self.image_event(id, time, &recorded.event);
        if let BuildEvent::Ended(ending) = &recorded.event {
            self.end_build(id, time, ending, is_news);
        }
    }

    fn image_event(&mut self, id: BuildId, time: i64, event: &BuildEvent) {
        let Some(build) = self.builds.get(&id) else { return };
        if let BuildEvent::Completed { image_bytes, discarded_bytes, .. } = event {
            let (bytes, discarded) = (*image_bytes, Some(*discarded_bytes));
            for name in build.names() {
                self.images.made(name, Sample { time, build: id, bytes, discarded, written: None });
            }
        }
        if let BuildEvent::Exported { image: Some(_), bytes: bytes @ 1.., .. } = event {
            for name in build.names() {
                self.images.written(name, id, *bytes);
            }
        }
    }

    /// What a step's event means outside of its build. `lookup` is what the cache was known to know before.
    fn step_event(
        &mut self,
        id: BuildId,
        step: StepId,
        time: i64,
        event: &BuildEvent,
        lookup: Option<Lookup>,
        is_news: bool,
    ) {
        let Some(build) = self.builds.get(&id) else { return };
        let Some(state) = build.step(step) else { return };
        let image = build.names().first().map_or_else(|| build.title(), Clone::clone);
        if lookup != Some(state.lookup) {
            self.cache.count(&image, state, time);
            if is_news {
                self.totals_of_lookup(state.lookup, time);
            }
        }
        let Some(build) = self.builds.get(&id) else { return };
        let Some(state) = build.step(step) else { return };
        let worker = state.worker.clone();
        if let BuildEvent::Fetched { bytes, .. } = event {
            let stage = state.planned.stage.clone();
            self.cache.fetched(&image, &stage, *bytes, time);
            self.totals.fetched = self.totals.fetched.saturating_add(if is_news { *bytes } else { 0 });
        } else if let BuildEvent::Started { worker: Some(worker), .. } = event {
            if let (Some(queued), Some(started)) = (state.queued_at, state.started_at) {
                self.waits.push_back(started.saturating_sub(queued));
                let over = self.waits.len().saturating_sub(MOST_WAITS);
                self.waits.drain(..over);
            }
            if let Some(worker) = self.workers.get_mut(worker) {
                worker.begin(id, step, time);
            }
            self.ran(time);
        } else if matches!(event, BuildEvent::Finished { .. }) {
            self.leave_slot(worker.as_ref(), id, step, time, SpanEnd::Done);
        } else if matches!(event, BuildEvent::Failed { .. }) {
            self.leave_slot(worker.as_ref(), id, step, time, SpanEnd::Failed);
        } else if matches!(event, BuildEvent::Retried { .. }) {
            for worker in self.workers.values_mut() {
                worker.finish(id, step, time, SpanEnd::Given);
            }
        }
    }

    fn totals_of_lookup(&mut self, lookup: Lookup, time: i64) {
        let totals = &mut self.totals;
        match lookup {
            Lookup::Unknown => return,
            Lookup::Hit { micros, bytes } => {
                totals.hits += 1;
                totals.saved_micros = totals.saved_micros.saturating_add(micros);
                totals.saved_bytes = totals.saved_bytes.saturating_add(bytes);
            }
            Lookup::Missed => totals.misses += 1,
            Lookup::Shared { .. } => totals.shared += 1,
        }
        if let Some(tick) = self.ticks.at(time) {
            tick.hits += u64::from(matches!(lookup, Lookup::Hit { .. }));
            tick.misses += u64::from(lookup == Lookup::Missed);
        }
    }

    fn ran(&mut self, time: i64) {
        let running = self.totals.running;
        if let Some(tick) = self.ticks.at(time) {
            tick.running = tick.running.max(running);
        }
    }

    fn leave_slot(&mut self, worker: Option<&WorkerId>, id: BuildId, step: StepId, time: i64, end: SpanEnd) {
        if let Some(worker) = worker.and_then(|worker| self.workers.get_mut(worker)) {
            worker.finish(id, step, time, end);
        }
        if let Some(tick) = self.ticks.at(time) {
            tick.done += 1;
        }
    }

    fn end_build(&mut self, id: BuildId, time: i64, ending: &farm_model::event::Ending, is_news: bool) {
        use farm_model::event::Ending;
        let Some(build) = self.builds.get(&id) else { return };
        for step in build.steps() {
            if let Some(worker) = step.worker.as_ref().and_then(|worker| self.workers.get_mut(worker)) {
                worker.finish(id, step.planned.id, time, SpanEnd::Given);
            }
        }
        match ending {
            _ if !is_news => {}
            Ending::Succeeded { .. } => self.totals.succeeded += 1,
            Ending::Failed(_) => self.totals.failed += 1,
            Ending::Cancelled | Ending::Interrupted => {}
        }
        self.retire(id);
    }

    /// A build has ended: the oldest ones beyond those that are kept go.
    fn retire(&mut self, id: BuildId) {
        self.ended.retain(|ended| *ended != id);
        self.ended.push_back(id);
        while self.ended.len() > MOST_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.builds.remove(&oldest);
        }
    }

    /// A build that is told anew counts once.
    fn uncount(&mut self, known: Option<&Build>) {
        let Some(known) = known.filter(|known| !known.is_over()) else { return };
        let (counts, totals) = (known.counts(), &mut self.totals);
        shift(&mut totals.builds, 1, 0);
        shift(&mut totals.blocked, usize::from(is_blocked(known)), 0);
        shift(&mut totals.queued, counts.queued, 0);
        shift(&mut totals.running, counts.running, 0);
        shift(&mut totals.steps, counts.steps, 0);
        shift(&mut totals.over, counts.over(), 0);
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

/// Whether a build has steps that wait for a slot and none that runs.
fn is_blocked(build: &Build) -> bool {
    let counts = build.counts();
    !build.is_over() && counts.running == 0 && counts.queued > 0
}

fn shift(total: &mut usize, before: usize, after: usize) {
    *total = (*total + after).saturating_sub(before);
}

fn nanos(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX).saturating_mul(1000)
}

fn step_of(event: &BuildEvent) -> Option<StepId> {
    match event {
        BuildEvent::Missed { step, .. }
        | BuildEvent::Queued { step }
        | BuildEvent::Shared { step, .. }
        | BuildEvent::Expected { step, .. }
        | BuildEvent::Fetched { step, .. }
        | BuildEvent::Started { step, .. }
        | BuildEvent::Retried { step, .. }
        | BuildEvent::Cached { step, .. }
        | BuildEvent::Logged { step, .. }
        | BuildEvent::Finished { step, .. }
        | BuildEvent::Failed { step, .. } => Some(*step),
        BuildEvent::Requested(_)
        | BuildEvent::Resumed { .. }
        | BuildEvent::Planned { .. }
        | BuildEvent::ContextScanned { .. }
        | BuildEvent::ContextTaken { .. }
        | BuildEvent::ImageResolved { .. }
        | BuildEvent::LayerPulled { .. }
        | BuildEvent::Warned { .. }
        | BuildEvent::Completed { .. }
        | BuildEvent::Exported { .. }
        | BuildEvent::Ended(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use farm_model::event::{Ending, PastBuild, PastOutcome, PlannedStep, Requested};
    use farm_model::{StageId, StepDigest, Usage};

    use super::*;

    const BUILD: BuildId = BuildId([1; 8]);
    const STEP: StepId = StepId { stage: StageId(0), index: 0 };
    const START: i64 = 1_000_000_000_000;

    fn said(farm: &mut Farm, event: FarmEvent) {
        farm.apply(&FarmRecorded { time: START, event });
    }

    fn built(farm: &mut Farm, build: BuildId, at: u64, event: BuildEvent) {
        said(farm, FarmEvent::Build { build, sequence: 0, recorded: Recorded { at, event } });
    }

    fn request(build: BuildId) -> BuildEvent {
        BuildEvent::Requested(Requested {
            build,
            time: START,
            dockerfile: "Dockerfile".into(),
            context: ".".into(),
            target: None,
            names: vec!["app:1".into()],
            client: "me".into(),
        })
    }

    fn plan() -> BuildEvent {
        let planned = PlannedStep {
            id: STEP,
            stage: "build".into(),
            name: "RUN make".into(),
            lines: None,
            needs: Vec::new(),
        };
        BuildEvent::Planned { steps: vec![planned] }
    }

    fn worker() -> WorkerId {
        WorkerId("w1".into())
    }

    fn begun() -> Farm {
        let mut farm = Farm::default();
        said(&mut farm, FarmEvent::Began { farm: "f".into(), version: "1".into() });
        let facts = WorkerFacts {
            worker: worker(),
            platform: "linux/amd64".into(),
            slots: 2,
            most: 4,
            labels: Vec::new(),
            draining: false,
        };
        said(&mut farm, FarmEvent::Worker(facts));
        said(&mut farm, FarmEvent::CaughtUp);
        farm
    }

    fn running() -> Farm {
        let mut farm = begun();
        for event in [request(BUILD), plan()] {
            built(&mut farm, BUILD, 0, event);
        }
        let key = StepDigest([0; 32]);
        built(&mut farm, BUILD, 1, BuildEvent::Missed { step: STEP, key, reasons: Vec::new() });
        built(&mut farm, BUILD, 2, BuildEvent::Queued { step: STEP });
        assert_eq!((farm.totals().queued, farm.totals().blocked), (1, 1));
        built(&mut farm, BUILD, 5, BuildEvent::Started { step: STEP, worker: Some(worker()) });
        farm
    }

    #[test]
    fn totals_follow_a_build_to_its_end() {
        let mut farm = running();
        let totals = farm.totals();
        assert_eq!((totals.builds, totals.running, totals.misses, totals.queued), (1, 1, 1, 0));
        assert_eq!((farm.slots(), farm.queue_wait()), ((1, 2), Some((3, 3))));
        let usage = Usage::default();
        built(&mut farm, BUILD, 9, BuildEvent::Finished { step: STEP, micros: 4, usage, bytes: 7 });
        let completed = BuildEvent::Completed { stages: Vec::new(), image_bytes: 50, discarded_bytes: 3 };
        built(&mut farm, BUILD, 10, completed);
        built(&mut farm, BUILD, 11, BuildEvent::Ended(Ending::Succeeded { image: None }));
        let wanted = Totals { misses: 1, succeeded: 1, ..Totals::default() };
        assert_eq!((farm.totals(), farm.slots()), (wanted, (0, 2)));
        assert_eq!(farm.images().names()["app:1"].newest().map(|sample| sample.bytes), Some(50));
        assert_eq!(farm.hit_rate(), Some(0.0));
    }

    #[test]
    fn a_stream_that_begins_anew_counts_nothing_twice() {
        let mut farm = running();
        farm.lost(START, "gone");
        said(&mut farm, FarmEvent::Began { farm: "f".into(), version: "1".into() });
        assert_eq!(farm.totals().running, 0);
        assert_eq!(farm.standings(), (0, 0, 1));
        for event in [request(BUILD), plan()] {
            built(&mut farm, BUILD, 0, event);
        }
        let key = StepDigest([0; 32]);
        built(&mut farm, BUILD, 1, BuildEvent::Missed { step: STEP, key, reasons: Vec::new() });
        said(&mut farm, FarmEvent::CaughtUp);
        assert_eq!((farm.totals().builds, farm.totals().misses), (1, 1));
    }

    #[test]
    fn a_cancelled_build_gives_its_slots_back() {
        let mut farm = running();
        built(&mut farm, BUILD, 8, BuildEvent::Ended(Ending::Cancelled));
        assert_eq!((farm.slots().0, farm.totals().builds, farm.totals().running), (0, 0, 0));
    }

    #[test]
    fn old_builds_are_forgotten() {
        let mut farm = begun();
        for number in 0..2000_u64 {
            let build = BuildId(number.to_be_bytes());
            said(
                &mut farm,
                FarmEvent::Past(PastBuild {
                    build,
                    started: START,
                    micros: 1,
                    outcome: PastOutcome::Succeeded,
                    dockerfile: "Dockerfile".into(),
                    context: ".".into(),
                    target: None,
                    names: Vec::new(),
                    client: "me".into(),
                    steps: 3,
                    cached: 1,
                    done: 3,
                    image_bytes: None,
                }),
            );
        }
        assert_eq!(farm.builds().len(), MOST_ENDED);
        assert_eq!(farm.builds().values().next().unwrap().counts().done, 2);
    }
}
