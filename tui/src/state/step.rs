//! One step of a build.

use farm_model::event::{MissReason, PlannedStep};
use farm_model::{BuildId, Exit, StepDigest, Usage, WorkerId};

use super::text::harmless_bytes;

/// The longest piece of a log line that is kept for display.
const LONGEST_LINE: usize = 400;

/// How a step is. Times are microseconds since the build's start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// Something before it is not done.
    #[default]
    Waiting,
    /// It waits for a slot.
    Queued {
        /// Since when.
        since: u64,
    },
    /// It is being done.
    Running {
        /// Since when.
        since: u64,
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
    /// The build ended before it did.
    Abandoned,
}

impl Phase {
    /// Whether nothing more becomes of it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Cached | Self::Done { .. } | Self::Failed | Self::Abandoned => true,
            Self::Waiting | Self::Queued { .. } | Self::Running { .. } => false,
        }
    }
}

/// What the cache knew of a step.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Lookup {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It had the result.
    Hit {
        /// What doing it took when it was done.
        micros: u64,
        /// Bytes of its layer.
        bytes: u64,
    },
    /// It had not.
    Missed,
    /// It had not, but an equal step of another build was being done.
    Shared {
        /// Which build.
        build: BuildId,
    },
}

/// A step and what became of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// As it was planned.
    pub planned: PlannedStep,
    /// Its position in its stage, from 1, and how many the stage has.
    pub position: (usize, usize),
    /// How it is.
    pub phase: Phase,
    /// What the cache knew.
    pub lookup: Lookup,
    /// Its key, once it is known.
    pub key: Option<StepDigest>,
    /// Why the cache did not know it, the most telling reason first.
    pub reasons: Vec<MissReason>,
    /// Who did it or does it; none when the coordinator does it itself.
    pub worker: Option<WorkerId>,
    /// How long steps like it usually take.
    pub expected: Option<u64>,
    /// When it began to wait for a slot.
    pub queued_at: Option<u64>,
    /// When it began to be done, the last time.
    pub started_at: Option<u64>,
    /// When nothing more became of it.
    pub ended_at: Option<u64>,
    /// Bytes of layers that its worker fetched for it.
    pub fetched: u64,
    /// Unpacked bytes of its layer.
    pub bytes: u64,
    /// What its process used.
    pub usage: Usage,
    /// How often it began anew.
    pub retries: u32,
    /// How its process ended, where it failed.
    pub exit: Option<Exit>,
    /// The last whole line of its log.
    pub last_line: String,
    partial: Vec<u8>,
}

impl Step {
    /// A step of which nothing is known but the plan.
    pub fn new(planned: PlannedStep, position: (usize, usize)) -> Self {
        Self {
            planned,
            position,
            phase: Phase::Waiting,
            lookup: Lookup::Unknown,
            key: None,
            reasons: Vec::new(),
            worker: None,
            expected: None,
            queued_at: None,
            started_at: None,
            ended_at: None,
            fetched: 0,
            bytes: 0,
            usage: Usage::default(),
            retries: 0,
            exit: None,
            last_line: String::new(),
            partial: Vec::new(),
        }
    }

    /// `stage position/total`, as progress has it in brackets.
    pub fn place(&self) -> String {
        let (position, total) = self.position;
        format!("{} {position}/{total}", self.planned.stage)
    }

    /// How long it has been or was being done, at the time `now` of its build; none where it was not.
    pub fn duration(&self, now: u64) -> Option<u64> {
        match self.phase {
            Phase::Done { micros } => Some(micros),
            Phase::Running { since } => Some(now.saturating_sub(since)),
            Phase::Failed | Phase::Abandoned => Some(self.ended_at?.saturating_sub(self.started_at?)),
            Phase::Waiting | Phase::Queued { .. } | Phase::Cached => None,
        }
    }

    /// Takes a piece of its log.
    pub(super) fn log(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let room = LONGEST_LINE.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") {
                let text = harmless_bytes(std::mem::take(&mut self.partial).trim_ascii_end());
                if !text.is_empty() {
                    self.last_line = text;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use farm_model::{StageId, StepId};

    use super::*;

    fn step() -> Step {
        let id = StepId { stage: StageId(0), index: 0 };
        let planned = PlannedStep {
            id,
            stage: "build".into(),
            name: "RUN make".into(),
            lines: None,
            needs: Vec::new(),
        };
        Step::new(planned, (1, 1))
    }

    #[test]
    fn the_last_whole_line_of_a_log_is_kept_and_harmless() {
        let mut step = step();
        step.log(b"one\ntwo \x1b[2J\nthr");
        assert_eq!(step.last_line, "two  [2J");
        step.log(b"ee\r");
        assert_eq!(step.last_line, "three");
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut step = step();
        for _ in 0..1000 {
            step.log(&[b'x'; 10_000]);
        }
        assert!(step.partial.len() <= LONGEST_LINE);
    }
}
