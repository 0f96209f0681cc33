//! Steps of a build in the slots in which they were done: each slot does one at a time.

use std::collections::BTreeMap;

use farm_model::StepId;

use super::{interval, place};
use crate::state::Build;

/// What was done in one slot of a worker, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Lane {
    /// Whose slot.
    pub(super) worker: String,
    /// Its number, from 0.
    pub(super) slot: usize,
    /// Step, start and end.
    pub(super) steps: Vec<(StepId, u64, u64)>,
}

/// The slots, by worker. A step takes the lowest slot of its worker that is free.
pub(super) fn lanes(build: &Build) -> Vec<Lane> {
    let mut done: Vec<(u64, u64, StepId, &str)> = build
        .steps()
        .filter_map(|step| {
            interval(build, step).map(|(start, end)| (start, end, step.planned.id, place(step)))
        })
        .collect();
    done.sort_unstable();
    let mut workers: BTreeMap<&str, Vec<Lane>> = BTreeMap::new();
    for (start, end, id, worker) in done {
        let slots = workers.entry(worker).or_default();
        let is_free = |lane: &Lane| lane.steps.last().is_none_or(|(_, _, end)| *end <= start);
        let slot = slots.iter().position(is_free).unwrap_or(slots.len());
        if slot == slots.len() {
            slots.push(Lane { worker: worker.to_owned(), slot, steps: Vec::new() });
        }
        slots[slot].steps.push((id, start, end));
    }
    workers.into_values().flatten().collect()
}
