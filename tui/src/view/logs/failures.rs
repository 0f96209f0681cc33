//! Steps that failed, and where in the log they did.

use std::collections::BTreeMap;

use farm_model::StepId;

use super::index::line;
use crate::state::{Build, Log, Phase};

/// Lines of a failed step that are pinned.
pub(super) const PINNED: usize = 8;
/// How far back its lines are looked for.
const FAR: u64 = 20_000;
/// How the log begins the line that says that a step failed.
const MARK: &str = "failed: ";

/// Where steps failed; found once, as lines come.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    /// The last line of each step that may say so.
    lines: BTreeMap<StepId, u64>,
    upto: u64,
}

/// A step that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    /// The step.
    pub(super) step: StepId,
    /// The line that says so.
    pub(super) number: u64,
}

impl Failures {
    /// Looks at lines that came since.
    pub(super) fn update(&mut self, log: &Log) {
        let first = log.dropped();
        let end = first + log.lines().len() as u64;
        if end < self.upto {
            *self = Self::default();
        }
        let from = self.upto.max(first);
        let skip = usize::try_from(from - first).unwrap_or(usize::MAX);
        for (line, number) in log.lines().range(skip.min(log.lines().len())..).zip(from..) {
            if let Some(step) = line.step.filter(|_| line.text.starts_with(MARK)) {
                self.lines.insert(step, number);
            }
        }
        self.upto = end;
        self.lines.retain(|_, number| *number >= first);
    }

    /// The failures of a build, the first first.
    pub(super) fn of(&self, build: &Build) -> Vec<Failure> {
        let failed = |step: &StepId| build.step(*step).is_some_and(|step| step.phase == Phase::Failed);
        let failures = self.lines.iter().filter(|(step, _)| failed(step));
        let mut failures: Vec<Failure> =
            failures.map(|(step, number)| Failure { step: *step, number: *number }).collect();
        failures.sort_by_key(|failure| failure.number);
        failures
    }
}

impl Failure {
    /// The last lines that its step wrote, the oldest first.
    pub(super) fn last_lines(&self, log: &Log, most: usize) -> Vec<u64> {
        let back = (self.number.saturating_sub(FAR).max(log.dropped())..self.number).rev();
        let of_step = |number: &u64| line(log, *number).is_some_and(|line| line.step == Some(self.step));
        let mut lines: Vec<u64> = back.filter(of_step).take(most).collect();
        lines.reverse();
        lines
    }
}
