//! What became of each step of a build, as a fold over its events.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use farm_model::event::{MissReason, PlannedStep};
use farm_model::{BuildEvent, StepId};

use super::reason::{one_line, sentence};
use crate::failure::Failure;
use crate::show::span;

/// Whether the build ran or is only planned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tense {
    Past,
    Future,
}

/// Collects what is to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    planned: Vec<PlannedStep>,
    steps: BTreeMap<StepId, Fate>,
}

#[derive(Clone, Debug, Default)]
struct Fate {
    reasons: Vec<MissReason>,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum End {
    #[default]
    Open,
    Cached,
    Ran {
        micros: u64,
    },
    Failed,
}

impl Fold {
    /// Takes the next event.
    pub(crate) fn apply(&mut self, event: &BuildEvent) {
        match event {
            BuildEvent::Planned { steps } => {
                self.planned.clone_from(steps);
                self.steps.clear();
            }
            BuildEvent::Missed { step, reasons, .. } => {
                self.steps.entry(*step).or_default().reasons.clone_from(reasons);
            }
            BuildEvent::Cached { step, .. } => self.end(*step, End::Cached),
            BuildEvent::Finished { step, micros, .. } => self.end(*step, End::Ran { micros: *micros }),
            BuildEvent::Failed { step, .. } => self.end(*step, End::Failed),
            BuildEvent::Requested(_)
            | BuildEvent::Resumed { .. }
            | BuildEvent::ContextScanned { .. }
            | BuildEvent::ContextTaken { .. }
            | BuildEvent::ImageResolved { .. }
            | BuildEvent::LayerPulled { .. }
            | BuildEvent::Queued { .. }
            | BuildEvent::Expected { .. }
            | BuildEvent::Fetched { .. }
            | BuildEvent::Shared { .. }
            | BuildEvent::Started { .. }
            | BuildEvent::Retried { .. }
            | BuildEvent::Logged { .. }
            | BuildEvent::Warned { .. }
            | BuildEvent::Completed { .. }
            | BuildEvent::Exported { .. }
            | BuildEvent::Ended(_) => {}
        }
    }

    fn end(&mut self, step: StepId, end: End) {
        self.steps.entry(step).or_default().end = end;
    }

    /// The text: every step that ran, or the ones that `selector` names whatever became of them.
    pub(crate) fn render(&self, tense: Tense, selector: Option<&str>) -> Result<String, Failure> {
        let mut totals: BTreeMap<_, usize> = BTreeMap::new();
        for step in &self.planned {
            *totals.entry(step.id.stage).or_default() += 1;
        }
        let (mut out, mut cached, mut found) = (String::new(), 0, 0);
        for (step, position) in self.selected(selector) {
            found += 1;
            let fate = self.steps.get(&step.id).cloned().unwrap_or_default();
            if fate.end == End::Cached && selector.is_none() {
                cached += 1;
                continue;
            }
            let total = totals.get(&step.id.stage).copied().unwrap_or_default();
            let name = one_line(&step.name);
            let _infallible =
                writeln!(out, "[{} {position}/{total}] {name}\n    {}", step.stage, fate.words(tense));
            for reason in &fate.reasons {
                let words = match (tense, reason) {
                    // Nobody knows what it would leave.
                    (Tense::Future, MissReason::Parent { step: Some(before), first: None }) => {
                        format!("it stands on `{}`, which would run first", one_line(&self.name(*before)))
                    }
                    _ => sentence(reason, |id| self.name(id)).replace('\n', "\n    "),
                };
                let _infallible = writeln!(out, "    {words}");
            }
        }
        let Some(selector) = selector else {
            let verb = if tense == Tense::Past { "were" } else { "are" };
            let _infallible = writeln!(out, "{cached} of {found} steps {verb} cached");
            return Ok(out);
        };
        if found > 0 {
            return Ok(out);
        }
        Err(Failure::usage(format!("the build has no step `{selector}`")).with_hint(Some(
            "a step is named by its stage, as STAGE.NUMBER, or by a part of its instruction",
        )))
    }

    /// Steps with their positions in their stages, from 1. Where nothing has the name `selector`, instructions that
    /// contain it are meant.
    fn selected(&self, selector: Option<&str>) -> Vec<(&PlannedStep, usize)> {
        let mut positions: BTreeMap<_, usize> = BTreeMap::new();
        let placed = self.planned.iter().map(|step| {
            let position = positions.entry(step.id.stage).or_default();
            *position += 1;
            (step, *position)
        });
        let all: Vec<_> = placed.collect();
        let Some(selector) = selector else { return all };
        let named = |(step, position): &(&PlannedStep, usize)| selects(selector, &step.stage, *position);
        let mut chosen: Vec<_> = all.iter().copied().filter(named).collect();
        if chosen.is_empty() {
            chosen = all.into_iter().filter(|(step, _)| step.name.contains(selector)).collect();
        }
        chosen
    }

    fn name(&self, id: StepId) -> String {
        let step = self.planned.iter().find(|step| step.id == id);
        step.map_or_else(|| "a step".to_owned(), |step| step.name.clone())
    }
}

impl Fate {
    fn words(&self, tense: Tense) -> String {
        match (self.end, tense) {
            (End::Cached, _) => "cached".to_owned(),
            (End::Ran { micros }, _) => format!("ran for {}, because", span(micros)),
            (End::Failed, _) => "ran and failed, because".to_owned(),
            (End::Open, Tense::Future) => "would run, because".to_owned(),
            (End::Open, Tense::Past) => "did not end; it was wanted, because".to_owned(),
        }
    }
}

/// `STAGE`, `STAGE.NUMBER`, or a number alone in any stage.
fn selects(selector: &str, stage: &str, position: usize) -> bool {
    let number = position.to_string();
    selector == stage
        || selector == number
        || selector.rsplit_once('.').is_some_and(|(name, wanted)| name == stage && wanted == number)
}

#[cfg(test)]
mod tests {
    use farm_model::{StageId, StepDigest, Usage};

    use super::*;

    fn fold() -> Fold {
        let id = |index| StepId { stage: StageId(0), index };
        let step = |index, name: &str| PlannedStep {
            id: id(index),
            stage: "build".to_owned(),
            name: name.to_owned(),
            lines: None,
            needs: Vec::new(),
        };
        let mut fold = Fold::default();
        fold.apply(&BuildEvent::Planned { steps: vec![step(0, "COPY . ."), step(1, "RUN make")] });
        fold.apply(&BuildEvent::Cached {
            step: id(0),
            key: StepDigest([0; 32]),
            saved_micros: 0,
            saved_bytes: 0,
        });
        let reasons = vec![MissReason::New];
        fold.apply(&BuildEvent::Missed { step: id(1), key: StepDigest([1; 32]), reasons });
        fold.apply(&BuildEvent::Finished {
            step: id(1),
            micros: 1_500_000,
            usage: Usage::default(),
            bytes: 1,
        });
        fold
    }

    #[test]
    fn steps_that_ran_are_told_with_their_reasons() {
        let text = "[build 2/2] RUN make\n    ran for 1.5s, because\n    no step like it was done here before\n1 of 2 steps were cached\n";
        assert_eq!(fold().render(Tense::Past, None).unwrap(), text);
    }

    #[test]
    fn a_step_that_is_named_is_told_although_it_was_cached() {
        let text = fold().render(Tense::Past, Some("build.1")).unwrap();
        assert_eq!(text, "[build 1/2] COPY . .\n    cached\n");
        assert_eq!(fold().render(Tense::Past, Some("COPY")).unwrap(), text);
        assert!(fold().render(Tense::Past, Some("other")).is_err());
    }
}
