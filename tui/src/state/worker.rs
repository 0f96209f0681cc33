//! One worker: what it is, what it uses, and what ran in which of its slots when.

use std::collections::VecDeque;

use farm_model::event::{MachineLoad, WorkerFacts};
use farm_model::{BuildId, StepId};

/// Samples of the load that are kept of a worker.
const MOST_SAMPLES: usize = 120;
/// Spans that are kept of a worker.
const MOST_SPANS: usize = 256;

/// Whether a worker takes work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does.
    Up,
    /// It finishes what it runs and takes no more.
    Draining,
    /// It is gone.
    Lost {
        /// Nanoseconds since the Unix epoch.
        since: i64,
    },
}

/// How the time of a step in a slot ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpanEnd {
    /// The step was done.
    Done,
    /// Its process failed.
    Failed,
    /// It was cancelled, moved, or its worker was lost.
    Given,
}

/// A step in a slot. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The build.
    pub build: BuildId,
    /// The step.
    pub step: StepId,
    /// Which slot, from 0.
    pub slot: usize,
    /// When it began.
    pub start: i64,
    /// When and how it ended; none while it runs.
    pub end: Option<(i64, SpanEnd)>,
}

/// One worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// What it says of itself.
    pub facts: WorkerFacts,
    /// Whether it takes work.
    pub standing: Standing,
    /// What it used, with the times of the samples in nanoseconds, the oldest first.
    pub loads: VecDeque<(i64, MachineLoad)>,
    /// What ran on it, those that began first first.
    pub spans: VecDeque<Span>,
    /// Slots that are in use.
    running: usize,
}

impl Worker {
    pub(super) fn new(facts: WorkerFacts) -> Self {
        let standing = if facts.draining { Standing::Draining } else { Standing::Up };
        Self { facts, standing, loads: VecDeque::new(), spans: VecDeque::new(), running: 0 }
    }

    /// Steps that run on it.
    pub fn running(&self) -> usize {
        self.running
    }

    /// What it used last.
    pub fn load(&self) -> Option<&MachineLoad> {
        self.loads.back().map(|(_, load)| load)
    }

    /// One more than the highest slot that a kept span is in; at least its slots.
    pub fn lanes(&self) -> usize {
        let slots = usize::try_from(self.facts.slots).unwrap_or(usize::MAX);
        self.spans.iter().map(|span| span.slot + 1).max().unwrap_or_default().max(slots)
    }

    pub(super) fn sample(&mut self, time: i64, load: MachineLoad) {
        self.loads.push_back((time, load));
        let over = self.loads.len().saturating_sub(MOST_SAMPLES);
        self.loads.drain(..over);
    }

    /// A step takes the lowest slot that is free.
    pub(super) fn begin(&mut self, build: BuildId, step: StepId, start: i64) {
        self.finish(build, step, start, SpanEnd::Given);
        let mut taken: Vec<usize> = self.open().map(|span| span.slot).collect();
        taken.sort_unstable();
        let slot =
            taken.iter().enumerate().find(|(free, slot)| free != *slot).map_or(taken.len(), |(free, _)| free);
        self.spans.push_back(Span { build, step, slot, start, end: None });
        self.running += 1;
        while self.spans.len() > MOST_SPANS && self.spans.front().is_some_and(|span| span.end.is_some()) {
            self.spans.pop_front();
        }
    }

    /// A step leaves its slot, if it is in one.
    pub(super) fn finish(&mut self, build: BuildId, step: StepId, time: i64, end: SpanEnd) {
        let of = |span: &&mut Span| span.build == build && span.step == step && span.end.is_none();
        if let Some(span) = self.spans.iter_mut().rev().find(of) {
            span.end = Some((time, end));
            self.running = self.running.saturating_sub(1);
        }
    }

    pub(super) fn lose(&mut self, time: i64) {
        self.standing = Standing::Lost { since: time };
        for span in self.spans.iter_mut().filter(|span| span.end.is_none()) {
            span.end = Some((time, SpanEnd::Given));
        }
        self.running = 0;
    }

    fn open(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| span.end.is_none())
    }
}

#[cfg(test)]
mod tests {
    use farm_model::{StageId, WorkerId};

    use super::*;

    fn step(index: u32) -> StepId {
        StepId { stage: StageId(0), index }
    }

    fn worker() -> Worker {
        Worker::new(WorkerFacts {
            worker: WorkerId("w".into()),
            platform: "linux/amd64".into(),
            slots: 2,
            most: 8,
            labels: Vec::new(),
            draining: false,
        })
    }

    #[test]
    fn a_step_takes_the_lowest_free_slot() {
        let (mut worker, build) = (worker(), BuildId([1; 8]));
        (0..3).for_each(|index| worker.begin(build, step(index), 1));
        worker.finish(build, step(1), 2, SpanEnd::Done);
        worker.begin(build, step(3), 3);
        assert_eq!(worker.spans.iter().map(|span| span.slot).collect::<Vec<_>>(), [0, 1, 2, 1]);
        assert_eq!((worker.running(), worker.lanes()), (3, 3));
        worker.lose(4);
        assert_eq!(worker.running(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut worker, build) = (worker(), BuildId([1; 8]));
        for index in 0..10_000 {
            worker.begin(build, step(index), 1);
            worker.finish(build, step(index), 2, SpanEnd::Done);
            worker.sample(1, MachineLoad::default());
        }
        assert!(worker.spans.len() <= MOST_SPANS + 1 && worker.loads.len() <= MOST_SAMPLES);
    }
}
