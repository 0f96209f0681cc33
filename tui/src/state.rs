//! One build, as a fold over its events.

use std::collections::BTreeMap;

use farm_model::event::{Ending, PlannedStep};
use farm_model::{BuildEvent, Recorded, StepId};

/// The longest piece of a log line that is kept for display.
const LONGEST_LINE: usize = 400;

/// How a step is. Times are microseconds since the build's start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// Something before it is not done.
    #[default]
    Waiting,
    /// It waits for a slot.
    Queued,
    /// It is being done.
    Running {
        /// Since when.
        since: u64,
        /// By whom; empty when the coordinator does it itself.
        worker: String,
    },
    /// It was found in the cache.
    Cached,
    /// It was done.
    Done {
        /// How long it took.
        micros: u64,
    },
    /// Its process failed.
    Failed,
}

/// A step and what is shown of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// As it was planned.
    pub planned: PlannedStep,
    /// Its position in its stage, from 1, and how many the stage has.
    pub position: (usize, usize),
    /// How it is.
    pub phase: Phase,
    /// The end of its log.
    pub last_line: String,
    partial: Vec<u8>,
}

/// One build.
#[derive(Clone, Debug, Default)]
pub struct BuildState {
    steps: BTreeMap<StepId, Step>,
    /// What goes on outside of steps: contexts and images, with the time of the last word about it.
    activity: Option<(u64, String)>,
    ending: Option<Ending>,
    at: u64,
}

impl BuildState {
    /// Takes the next event.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.at = recorded.at;
        let at = recorded.at;
        match &recorded.event {
            BuildEvent::Requested(_) => self.activity = Some((at, "reading the Dockerfile".to_owned())),
            BuildEvent::Resumed { .. } => {
                self.activity = Some((at, "taking the build up again".to_owned()));
                self.ending = None;
            }
            BuildEvent::Planned { steps } => self.plan(steps),
            BuildEvent::ContextScanned { context, files, .. } => {
                self.activity = Some((at, format!("{context}: {files} files")));
            }
            BuildEvent::ImageResolved { name, .. } | BuildEvent::LayerPulled { image: name, .. } => {
                self.activity = Some((at, format!("image {name}")));
            }
            BuildEvent::ContextTaken { .. }
            | BuildEvent::Missed { .. }
            | BuildEvent::Expected { .. }
            | BuildEvent::Fetched { .. }
            | BuildEvent::Warned { .. } => {}
            BuildEvent::Queued { step } => self.set(*step, Phase::Queued),
            BuildEvent::Shared { step, build } => {
                self.set(*step, Phase::Running { since: at, worker: format!("build {build}") });
            }
            BuildEvent::Started { step, worker } => {
                let worker = worker.as_ref().map(ToString::to_string).unwrap_or_default();
                self.set(*step, Phase::Running { since: at, worker });
            }
            BuildEvent::Retried { step, reason } => {
                self.set(*step, Phase::Queued);
                if let Some(step) = self.steps.get_mut(step) {
                    step.last_line = line(reason.as_bytes());
                }
            }
            BuildEvent::Cached { step, .. } => self.set(*step, Phase::Cached),
            BuildEvent::Logged { step, bytes, .. } => self.log(*step, bytes),
            BuildEvent::Finished { step, micros, .. } => self.set(*step, Phase::Done { micros: *micros }),
            BuildEvent::Failed { step, .. } => self.set(*step, Phase::Failed),
            BuildEvent::Completed { .. } => self.activity = Some((at, "writing the result".to_owned())),
            BuildEvent::Exported { output, .. } => self.activity = Some((at, format!("wrote {output}"))),
            BuildEvent::Ended(ending) => self.ending = Some(ending.clone()),
        }
    }

    /// The steps, in the order of the Dockerfile.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.values()
    }

    /// Steps that are done, those of them that were cached, and all.
    pub fn counts(&self) -> (usize, usize, usize) {
        let cached = self.steps.values().filter(|step| step.phase == Phase::Cached).count();
        let done = |step: &&Step| matches!(step.phase, Phase::Cached | Phase::Done { .. } | Phase::Failed);
        (self.steps.values().filter(done).count(), cached, self.steps.len())
    }

    /// What goes on outside of steps.
    pub fn activity(&self) -> Option<&str> {
        self.activity.as_ref().map(|(_, text)| text.as_str())
    }

    /// How it ended, once it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The time of the last event, in microseconds since the build's start.
    pub fn at(&self) -> u64 {
        self.at
    }

    fn plan(&mut self, steps: &[PlannedStep]) {
        let mut totals: BTreeMap<_, usize> = BTreeMap::new();
        for step in steps {
            *totals.entry(step.id.stage).or_default() += 1;
        }
        let mut positions: BTreeMap<_, usize> = BTreeMap::new();
        self.steps.clear();
        for planned in steps {
            let position = positions.entry(planned.id.stage).or_default();
            *position += 1;
            let total = totals.get(&planned.id.stage).copied().unwrap_or_default();
            let step = Step {
                planned: planned.clone(),
                position: (*position, total),
                phase: Phase::Waiting,
                last_line: String::new(),
                partial: Vec::new(),
            };
            self.steps.insert(planned.id, step);
        }
    }

    fn set(&mut self, step: StepId, phase: Phase) {
        if let Some(step) = self.steps.get_mut(&step) {
            step.phase = phase;
        }
    }

    fn log(&mut self, step: StepId, bytes: &[u8]) {
        let Some(step) = self.steps.get_mut(&step) else { return };
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let room = LONGEST_LINE.saturating_sub(step.partial.len());
            step.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") {
                let whole = std::mem::take(&mut step.partial);
                let text = line(&whole);
                if !text.is_empty() {
                    step.last_line = text;
                }
            }
        }
    }
}

/// Text of one line without what a terminal would act on.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use farm_model::StageId;
    use farm_model::event::Stream;

    use super::*;

    const STEP: StepId = StepId { stage: StageId(0), index: 0 };

    fn planned() -> BuildState {
        let step = PlannedStep {
            id: STEP,
            stage: "build".into(),
            name: "RUN make".into(),
            lines: None,
            needs: Vec::new(),
        };
        let mut state = BuildState::default();
        state.apply(&Recorded { at: 1, event: BuildEvent::Planned { steps: vec![step] } });
        state
    }

    fn log(state: &mut BuildState, bytes: &[u8]) {
        let event = BuildEvent::Logged { step: STEP, stream: Stream::Stdout, bytes: bytes.to_vec() };
        state.apply(&Recorded { at: 2, event });
    }

    #[test]
    fn the_last_whole_line_of_a_log_is_kept_and_harmless() {
        let mut state = planned();
        log(&mut state, b"one\ntwo \x1b[2J\nthr");
        assert_eq!(state.steps().next().unwrap().last_line, "two  [2J");
        log(&mut state, b"ee\r");
        assert_eq!(state.steps().next().unwrap().last_line, "three");
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut state = planned();
        for _ in 0..1000 {
            log(&mut state, &[b'x'; 10_000]);
        }
        assert!(state.steps().next().unwrap().partial.len() <= LONGEST_LINE);
    }

    #[test]
    fn counts_follow_the_phases() {
        let mut state = planned();
        assert_eq!(state.counts(), (0, 0, 1));
        state.apply(&Recorded {
            at: 3,
            event: BuildEvent::Finished {
                step: STEP,
                micros: 2,
                usage: farm_model::Usage::default(),
                bytes: 0,
            },
        });
        assert_eq!(state.counts(), (1, 0, 1));
    }
}
