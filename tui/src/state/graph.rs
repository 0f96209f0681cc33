//! The steps of a build as a graph in time: its critical path, and how long it still takes.

use std::collections::BTreeMap;

use farm_model::{StageId, StepId};

use super::build::Build;
use super::step::{Phase, Step};

/// What a step counts for of which nobody knows how long it takes, in microseconds.
const UNKNOWN: u64 = 1_000_000;

/// The longest chain of a build, at a time in microseconds since its start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CriticalPath {
    /// Its steps, the first to be done first.
    pub steps: Vec<StepId>,
    /// How long it takes or took from end to end.
    pub micros: u64,
    /// How much of that is left.
    pub remaining: u64,
}

/// The longest chain of steps that wait for each other: what was done counts as long as it took, what is being done or will be
/// as long as it usually takes. Costs as much as there are steps.
pub fn critical_path(build: &Build, now: u64) -> CriticalPath {
    let mut done: BTreeMap<StepId, Reached> = BTreeMap::new();
    let mut last_of: BTreeMap<StageId, StepId> = BTreeMap::new();
    for step in build.steps() {
        let id = step.planned.id;
        let before = id.index.checked_sub(1).map(|index| StepId { stage: id.stage, index });
        // Stages come in the order of the Dockerfile, and none needs a later one.
        let others = step.planned.needs.iter().filter_map(|stage| last_of.get(stage).copied());
        let via = before.into_iter().chain(others).filter(|id| done.contains_key(id)).max_by_key(|id| {
            let reached = &done[id];
            (reached.remaining, reached.micros)
        });
        let base = via.map(|id| done[&id]).unwrap_or_default();
        let (took, left) = weight(step, now);
        let micros = base.micros.saturating_add(took).saturating_add(left);
        let remaining = base.remaining.saturating_add(left);
        done.insert(id, Reached { micros, remaining, via });
        last_of.insert(id.stage, id);
    }
    let Some((end, reached)) = done.iter().max_by_key(|(_, reached)| (reached.remaining, reached.micros))
    else {
        return CriticalPath::default();
    };
    let mut steps = vec![*end];
    let mut at = reached.via;
    while let Some(id) = at {
        steps.push(id);
        at = done[&id].via;
    }
    steps.reverse();
    CriticalPath { steps, micros: reached.micros, remaining: reached.remaining }
}

/// How long a chain is when it has come to a step's end.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    micros: u64,
    remaining: u64,
    via: Option<StepId>,
}

/// How long a step has taken, and how long it still takes.
fn weight(step: &Step, now: u64) -> (u64, u64) {
    let usual = step.expected.unwrap_or(UNKNOWN);
    match step.phase {
        Phase::Waiting | Phase::Queued { .. } => (0, usual),
        Phase::Running { since } => {
            let took = now.saturating_sub(since);
            (took, usual.saturating_sub(took))
        }
        Phase::Cached => (0, 0),
        Phase::Done { .. } | Phase::Failed | Phase::Abandoned => (step.duration(now).unwrap_or_default(), 0),
    }
}

#[cfg(test)]
mod tests {
    use farm_model::event::PlannedStep;
    use farm_model::{BuildEvent, Recorded, Usage};

    use super::*;

    fn id(stage: u32, index: u32) -> StepId {
        StepId { stage: StageId(stage), index }
    }

    fn build(steps: &[(StepId, &[u32])]) -> Build {
        let planned = |(id, needs): &(StepId, &[u32])| PlannedStep {
            id: *id,
            stage: format!("s{}", id.stage.0),
            name: "RUN x".into(),
            lines: None,
            needs: needs.iter().copied().map(StageId).collect(),
        };
        let mut build = Build::default();
        build.apply(&Recorded {
            at: 0,
            event: BuildEvent::Planned { steps: steps.iter().map(planned).collect() },
        });
        build
    }

    #[test]
    fn the_path_leads_through_the_slower_stage() {
        let mut build = build(&[(id(0, 0), &[]), (id(1, 0), &[]), (id(2, 0), &[0, 1])]);
        for (step, micros) in [(id(0, 0), 5), (id(1, 0), 9_000_000)] {
            build.apply(&Recorded { at: 0, event: BuildEvent::Expected { step, micros } });
        }
        let path = critical_path(&build, 0);
        assert_eq!(path.steps, [id(1, 0), id(2, 0)]);
        assert_eq!(path.remaining, 9_000_000 + UNKNOWN);
        for step in [id(0, 0), id(1, 0)] {
            let event = BuildEvent::Finished { step, micros: 7, usage: Usage::default(), bytes: 0 };
            build.apply(&Recorded { at: 7, event });
        }
        assert_eq!(critical_path(&build, 7).remaining, UNKNOWN);
    }

    #[test]
    fn a_build_without_steps_has_no_path() {
        assert_eq!(critical_path(&Build::default(), 5), CriticalPath::default());
    }
}
