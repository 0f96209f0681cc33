//! Which rows there are: a head for each stage, and its steps below it unless it is folded.

use std::borrow::Cow;

use farm_model::{BuildId, StageId, StepId};

use crate::app::filter::{Fields, Filter};
use crate::state::{Build, Step};
use crate::view::step_text;

/// A row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    /// The head of a stage.
    Stage(StageId),
    /// A step of it.
    Step(StepId),
}

impl Key {
    pub(super) fn stage(self) -> StageId {
        match self {
            Self::Stage(stage) => stage,
            Self::Step(step) => step.stage,
        }
    }

    pub(super) fn step(self) -> Option<StepId> {
        match self {
            Self::Stage(_) => None,
            Self::Step(step) => Some(step),
        }
    }
}

/// A row with what it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) id: BuildId,
    pub(super) build: &'a Build,
    pub(super) key: Key,
    pub(super) folded: bool,
    /// Microseconds since the build's start.
    pub(super) now: u64,
    /// The critical path.
    pub(super) path: &'a [StepId],
    /// Its position.
    pub(super) at: usize,
}

/// The rows of a build that a filter lets through.
pub(super) fn keys(build: &Build, filter: &Filter, is_folded: &dyn Fn(StageId) -> bool) -> Vec<Key> {
    let mut keys = Vec::with_capacity(build.counts().steps + build.stages().len());
    for (id, stage) in build.stages() {
        let head = keys.len();
        keys.push(Key::Stage(*id));
        if !is_folded(*id) {
            let shown = |step: &&StepId| {
                filter.is_empty() || build.step(**step).is_some_and(|step| filter.matches(step))
            };
            keys.extend(stage.steps.iter().filter(shown).map(|step| Key::Step(*step)));
        }
        if !filter.is_empty() && keys.len() == head + 1 {
            keys.pop();
        }
    }
    keys
}

impl Fields for Step {
    fn field(&self, key: &str) -> Option<Cow<'_, str>> {
        match key {
            "state" => Some(step_text::state(self).into()),
            "stage" => Some(self.planned.stage.as_str().into()),
            "step" | "name" => Some(self.planned.name.as_str().into()),
            "worker" | "where" => self.worker.as_ref().map(|worker| worker.0.as_str().into()),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        let worker = self.worker.as_ref().map_or("", |worker| worker.0.as_str());
        format!("{} {} {} {worker}", self.planned.stage, self.planned.name, step_text::state(self)).into()
    }
}
