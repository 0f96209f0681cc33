//! One build, as a fold over its events.

use std::collections::BTreeMap;

use farm_model::event::{Ending, PastBuild, PlannedStep, Requested, StageSize};
use farm_model::{BuildEvent, BuildId, OciDigest, Recorded, StageId, StepId};

use super::step::{Lookup, Phase, Step};
use super::text::harmless;

/// Warnings that are kept of a build.
const MOST_WARNINGS: usize = 100;
/// Outputs that are kept of a build.
const MOST_OUTPUTS: usize = 100;

/// How many steps are how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// All of them.
    pub steps: usize,
    /// Something before them is not done.
    pub waiting: usize,
    /// They wait for a slot.
    pub queued: usize,
    /// They are being done.
    pub running: usize,
    /// They were in the cache.
    pub cached: usize,
    /// They were done.
    pub done: usize,
    /// They failed.
    pub failed: usize,
    /// The build ended before they did.
    pub abandoned: usize,
}

impl Counts {
    /// Steps of which nothing more becomes.
    pub fn over(&self) -> usize {
        self.cached + self.done + self.failed + self.abandoned
    }

    fn slot(&mut self, phase: Phase) -> &mut usize {
        match phase {
            Phase::Waiting => &mut self.waiting,
            Phase::Queued { .. } => &mut self.queued,
            Phase::Running { .. } => &mut self.running,
            Phase::Cached => &mut self.cached,
            Phase::Done { .. } => &mut self.done,
            Phase::Failed => &mut self.failed,
            Phase::Abandoned => &mut self.abandoned,
        }
    }
}

/// A stage of a build's plan.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its steps, in order.
    pub steps: Vec<StepId>,
    /// The stages that any of its steps waits for, in order, each once.
    pub needs: Vec<StageId>,
}

/// Something that a build wrote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exported {
    /// What, in words.
    pub output: String,
    /// The digest of the image's configuration.
    pub image: Option<OciDigest>,
    /// Bytes that were written.
    pub bytes: u64,
    /// How long it took.
    pub micros: u64,
}

/// One build.
#[derive(Clone, Debug, Default)]
pub struct Build {
    requested: Option<Requested>,
    past: Option<Box<PastBuild>>,
    steps: BTreeMap<StepId, Step>,
    stages: BTreeMap<StageId, Stage>,
    counts: Counts,
    /// What goes on outside of steps: contexts and images, with the time of the last word about it.
    activity: Option<(u64, String)>,
    warnings: Vec<String>,
    sizes: Vec<StageSize>,
    /// Unpacked bytes of the image, and of what was discarded.
    image: Option<(u64, u64)>,
    exported: Vec<Exported>,
    pulled: u64,
    ending: Option<Ending>,
    at: u64,
}

impl Build {
    /// A build that ended before anybody looked; more is known of it once its events are applied.
    pub fn of_past(past: PastBuild) -> Self {
        Self { at: past.micros, past: Some(Box::new(past)), ..Self::default() }
    }

    /// Takes the next event.
    pub fn apply(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        self.at = at;
        match &recorded.event {
            BuildEvent::Requested(requested) => {
                self.requested = Some(requested.clone());
                self.activity = Some((at, "reading the Dockerfile".to_owned()));
            }
            BuildEvent::Resumed { .. } => {
                self.activity = Some((at, "taking the build up again".to_owned()));
                self.ending = None;
            }
            BuildEvent::Planned { steps } => self.plan(steps),
            BuildEvent::ContextScanned { context, files, .. } => {
                self.activity = Some((at, format!("{}: {files} files", harmless(context))));
            }
            BuildEvent::ImageResolved { name, .. } => {
                self.activity = Some((at, format!("image {}", harmless(name))));
            }
            BuildEvent::LayerPulled { image, bytes, .. } => {
                self.pulled = self.pulled.saturating_add(*bytes);
                self.activity = Some((at, format!("image {}", harmless(image))));
            }
            BuildEvent::Warned { message } if self.warnings.len() < MOST_WARNINGS => {
                self.warnings.push(message.clone());
            }
            BuildEvent::ContextTaken { .. } | BuildEvent::Warned { .. } => {}
            BuildEvent::Completed { stages, image_bytes, discarded_bytes } => {
                self.sizes.clone_from(stages);
                self.image = Some((*image_bytes, *discarded_bytes));
                self.activity = Some((at, "writing the result".to_owned()));
            }
            BuildEvent::Exported { output, image, bytes, micros } => {
                self.activity = Some((at, format!("wrote {}", harmless(output))));
                if self.exported.len() < MOST_OUTPUTS {
                    let (output, image, bytes, micros) = (output.clone(), *image, *bytes, *micros);
                    self.exported.push(Exported { output, image, bytes, micros });
                }
            }
            BuildEvent::Ended(ending) => self.end(at, ending),
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
            | BuildEvent::Failed { step, .. } => self.step_event(*step, recorded),
        }
    }

    fn step_event(&mut self, id: StepId, recorded: &Recorded) {
        let at = recorded.at;
        // An event of a step that was never planned says nothing.
        let Some(step) = self.steps.get_mut(&id) else { return };
        let before = step.phase;
        match &recorded.event {
            BuildEvent::Missed { key, reasons, .. } => {
                (step.lookup, step.key) = (Lookup::Missed, Some(*key));
                step.reasons.clone_from(reasons);
            }
            BuildEvent::Queued { .. } => {
                step.queued_at = Some(at);
                step.phase = Phase::Queued { since: at };
            }
            BuildEvent::Shared { build, .. } => {
                step.lookup = Lookup::Shared { build: *build };
                step.started_at = Some(at);
                step.phase = Phase::Running { since: at };
            }
            BuildEvent::Expected { micros, .. } => step.expected = Some(*micros),
            BuildEvent::Fetched { bytes, .. } => step.fetched = step.fetched.saturating_add(*bytes),
            BuildEvent::Started { worker, .. } => {
                step.worker.clone_from(worker);
                step.started_at = Some(at);
                step.phase = Phase::Running { since: at };
            }
            BuildEvent::Retried { reason, .. } => {
                step.retries = step.retries.saturating_add(1);
                step.worker = None;
                step.last_line = harmless(reason).into_owned();
                step.phase = Phase::Queued { since: at };
            }
            BuildEvent::Cached { key, saved_micros, saved_bytes, .. } => {
                step.key = Some(*key);
                step.lookup = Lookup::Hit { micros: *saved_micros, bytes: *saved_bytes };
                step.bytes = *saved_bytes;
                step.ended_at = Some(at);
                step.phase = Phase::Cached;
            }
            BuildEvent::Logged { bytes, .. } => step.log(bytes),
            BuildEvent::Finished { micros, usage, bytes, .. } => {
                (step.usage, step.bytes, step.ended_at) = (*usage, *bytes, Some(at));
                step.phase = Phase::Done { micros: *micros };
            }
            BuildEvent::Failed { exit, .. } => {
                (step.exit, step.ended_at) = (Some(*exit), Some(at));
                step.phase = Phase::Failed;
            }
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
            | BuildEvent::Ended(_) => {}
        }
        let after = step.phase;
        self.recount(before, after);
    }

    fn plan(&mut self, planned: &[PlannedStep]) {
        self.steps.clear();
        self.stages.clear();
        for step in planned {
            let stage = self.stages.entry(step.id.stage).or_default();
            stage.name.clone_from(&step.stage);
            stage.steps.push(step.id);
            for need in &step.needs {
                if !stage.needs.contains(need) {
                    stage.needs.push(*need);
                }
            }
        }
        let mut positions: BTreeMap<StageId, usize> = BTreeMap::new();
        for planned in planned {
            let position = positions.entry(planned.id.stage).or_default();
            *position += 1;
            let total = self.stages.get(&planned.id.stage).map_or(0, |stage| stage.steps.len());
            self.steps.insert(planned.id, Step::new(planned.clone(), (*position, total)));
        }
        self.counts = Counts { steps: self.steps.len(), waiting: self.steps.len(), ..Counts::default() };
    }

    fn end(&mut self, at: u64, ending: &Ending) {
        self.ending = Some(ending.clone());
        let mut open = Vec::new();
        for step in self.steps.values_mut().filter(|step| !step.phase.is_over()) {
            open.push(step.phase);
            // What never began has no end.
            step.ended_at = step.started_at.map(|_| at);
            step.phase = Phase::Abandoned;
        }
        for before in open {
            self.recount(before, Phase::Abandoned);
        }
    }

    fn recount(&mut self, before: Phase, after: Phase) {
        *self.counts.slot(before) = self.counts.slot(before).saturating_sub(1);
        *self.counts.slot(after) += 1;
    }

    /// What it was asked for; none before its first event.
    pub fn requested(&self) -> Option<&Requested> {
        self.requested.as_ref()
    }

    /// What was known of it when nobody had looked at its events.
    pub fn past(&self) -> Option<&PastBuild> {
        self.past.as_deref()
    }

    /// Its id, once anything is known of it.
    pub fn id(&self) -> Option<BuildId> {
        self.requested.as_ref().map(|requested| requested.build).or(self.past.as_ref().map(|past| past.build))
    }

    /// Nanoseconds since the Unix epoch at its start.
    pub fn started(&self) -> i64 {
        let past = || self.past.as_ref().map(|past| past.started);
        self.requested.as_ref().map(|requested| requested.time).or_else(past).unwrap_or_default()
    }

    /// What to call it: its first name, else its Dockerfile and context.
    pub fn title(&self) -> String {
        let (names, dockerfile, context) = match (&self.requested, &self.past) {
            (Some(requested), _) => (&requested.names, &requested.dockerfile, &requested.context),
            (None, Some(past)) => (&past.names, &past.dockerfile, &past.context),
            (None, None) => return String::new(),
        };
        match names.first() {
            Some(name) => harmless(name).into_owned(),
            None => harmless(&format!("{dockerfile} in {context}")).into_owned(),
        }
    }

    /// Names that its image gets.
    pub fn names(&self) -> &[String] {
        let past = || self.past.as_ref().map(|past| past.names.as_slice());
        self.requested.as_ref().map(|requested| requested.names.as_slice()).or_else(past).unwrap_or_default()
    }

    /// The steps, in the order of the Dockerfile.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.values()
    }

    /// One of them.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(&id)
    }

    /// The stages of the plan.
    pub fn stages(&self) -> &BTreeMap<StageId, Stage> {
        &self.stages
    }

    /// How many steps are how.
    pub fn counts(&self) -> Counts {
        match &self.past {
            Some(past) if self.steps.is_empty() => {
                let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
                let (steps, cached, over) = (count(past.steps), count(past.cached), count(past.done));
                let done = over.saturating_sub(cached);
                let abandoned = steps.saturating_sub(over);
                Counts { steps, cached, done, abandoned, ..Counts::default() }
            }
            Some(_) | None => self.counts,
        }
    }

    /// What goes on outside of steps.
    pub fn activity(&self) -> Option<&str> {
        self.activity.as_ref().map(|(_, text)| text.as_str())
    }

    /// What its user should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What each stage weighs, once it is complete.
    pub fn sizes(&self) -> &[StageSize] {
        &self.sizes
    }

    /// Unpacked bytes of its image, once there is one.
    pub fn image_bytes(&self) -> Option<u64> {
        let past = || self.past.as_ref().and_then(|past| past.image_bytes);
        self.image.map(|(bytes, _)| bytes).or_else(past)
    }

    /// Unpacked bytes of the stages that the image does not contain, once it is complete.
    pub fn discarded_bytes(&self) -> Option<u64> {
        self.image.map(|(_, discarded)| discarded)
    }

    /// What it wrote.
    pub fn exported(&self) -> &[Exported] {
        &self.exported
    }

    /// Compressed bytes of base layers that were pulled for it.
    pub fn pulled(&self) -> u64 {
        self.pulled
    }

    /// How it ended, once it has; none also for one of which only the past is known.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Whether nothing more happens.
    pub fn is_over(&self) -> bool {
        self.ending.is_some() || (self.past.is_some() && self.requested.is_none())
    }

    /// The time of the last event, in microseconds since the build's start.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Microseconds since its start at a time in nanoseconds since the Unix epoch; for one that is over those of its end.
    pub fn clock(&self, now: i64) -> u64 {
        if self.is_over() {
            return self.at;
        }
        let since = now.saturating_sub(self.started()).max(0).cast_unsigned() / 1000;
        since.max(self.at)
    }
}

#[cfg(test)]
mod tests {
    use farm_model::{StepDigest, Usage};

    use super::*;

    const STEP: StepId = StepId { stage: StageId(0), index: 0 };

    fn planned() -> Build {
        let step = PlannedStep {
            id: STEP,
            stage: "build".into(),
            name: "RUN make".into(),
            lines: None,
            needs: Vec::new(),
        };
        let mut build = Build::default();
        build.apply(&Recorded { at: 1, event: BuildEvent::Planned { steps: vec![step] } });
        build
    }

    fn apply(build: &mut Build, at: u64, event: BuildEvent) {
        build.apply(&Recorded { at, event });
    }

    #[test]
    fn counts_follow_the_phases() {
        let mut build = planned();
        assert_eq!(build.counts(), Counts { steps: 1, waiting: 1, ..Counts::default() });
        apply(&mut build, 2, BuildEvent::Queued { step: STEP });
        apply(&mut build, 3, BuildEvent::Started { step: STEP, worker: None });
        assert_eq!(build.counts().running, 1);
        let usage = Usage::default();
        apply(&mut build, 9, BuildEvent::Finished { step: STEP, micros: 6, usage, bytes: 0 });
        assert_eq!(build.counts(), Counts { steps: 1, done: 1, ..Counts::default() });
        assert_eq!(build.step(STEP).unwrap().duration(100), Some(6));
    }

    #[test]
    fn the_end_of_a_build_is_the_end_of_its_steps() {
        let mut build = planned();
        apply(&mut build, 3, BuildEvent::Started { step: STEP, worker: None });
        apply(&mut build, 5, BuildEvent::Ended(Ending::Cancelled));
        assert_eq!(build.counts(), Counts { steps: 1, abandoned: 1, ..Counts::default() });
        assert_eq!(build.step(STEP).unwrap().duration(100), Some(2));
    }

    #[test]
    fn events_of_unknown_steps_say_nothing() {
        let mut build = Build::default();
        let key = StepDigest([0; 32]);
        let event = BuildEvent::Cached { step: STEP, key, saved_micros: 1, saved_bytes: 1 };
        apply(&mut build, 1, event);
        assert_eq!(build.counts(), Counts::default());
    }
}
