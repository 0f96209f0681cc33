//! What events of builds mean for the farm: sums, slots, the cache and the sizes of images.

use farm_model::event::Ending;
use farm_model::{BuildEvent, BuildId, Recorded, StepId, WorkerId};

use super::{Farm, Link, MOST_ENDED, MOST_WAITS};
use crate::state::images::Sample;
use crate::state::worker::SpanEnd;
use crate::state::{Build, Counts, Lookup};

impl Farm {
    pub(super) fn build_event(&mut self, id: BuildId, time: i64, recorded: &Recorded) {
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
        let open = |counts: Counts, over: bool| if over { Counts::default() } else { counts };
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

    fn end_build(&mut self, id: BuildId, time: i64, ending: &Ending, is_news: bool) {
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
    pub(super) fn retire(&mut self, id: BuildId) {
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
}

/// Whether a build has steps that wait for a slot and none that runs.
fn is_blocked(build: &Build) -> bool {
    let counts = build.counts();
    !build.is_over() && counts.running == 0 && counts.queued > 0
}

fn shift(total: &mut usize, before: usize, after: usize) {
    *total = (*total + after).saturating_sub(before);
}

pub(super) fn nanos(micros: u64) -> i64 {
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
