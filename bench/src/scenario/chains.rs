//! Many small steps: one after the other, side by side, and killed in the middle.

use std::path::Path;
use std::time::Duration;

use super::{Plan, Sink, cached, cold, times, unchanged};
use crate::Error;
use crate::farm::{Farm, Killed, Run};
use crate::report::{Quantity, Row};
use crate::samples::Samples;
use crate::workload::{CHAIN, FAN, INTERRUPTED, Workload};

/// What a step costs when it does next to nothing.
pub(super) fn chain(plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let (context, farm) = (plan.context(Workload::M2)?, plan.farm(Workload::M2)?);
    let cold = cold(&farm, &context, plan.many())?;
    let (cold_row, warm_row) = (Row::of("m2", "cold", &cold), again(&farm, &context, "m2", plan)?);
    let steps = u32::try_from(CHAIN).unwrap_or(u32::MAX);
    let (wall, warm) = (cold_row.wall.median(), warm_row.wall.median());
    let per_step = wall.map(|wall| wall / steps);
    // What the process needs anyway is no cost of a step.
    let above = wall.zip(warm).map(|(wall, warm)| wall.saturating_sub(warm) / steps);
    let own = cold.iter().flat_map(Run::ran).collect::<Samples>().median();
    let cpu = cold_row.cpu.median().map(|cpu| cpu / steps);
    let row = cold_row
        .with("a step", per_step.map(Quantity::Time))
        .with("a step above an unchanged build", above.map(Quantity::Time))
        .with("a step by farm's own clock, median", own.map(Quantity::Time))
        .with("of processor time a step", cpu.map(Quantity::Time));
    sink(row);
    sink(warm_row);
    Ok(())
}

/// How well independent stages overlap.
pub(super) fn fan(plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let (context, farm) = (plan.context(Workload::M3)?, plan.farm(Workload::M3)?);
    let runs = cold(&farm, &context, plan.many())?;
    let row = Row::of("m3", "cold", &runs);
    let waiting = Duration::from_millis(200);
    let stages = u32::try_from(FAN).unwrap_or(u32::MAX);
    let (one, all) = (times(&row, Some(waiting)), times(&row, Some(waiting * stages)));
    sink(row.with("as long as one stage waits", one).with("as long as all stages wait in turn", all));
    sink(again(&farm, &context, "m3", plan)?);
    Ok(())
}

/// What a killed build has left: finished steps, and nothing else.
pub(super) fn interrupted(plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let (context, farm) = (plan.context(Workload::M9)?, plan.farm(Workload::M9)?);
    let (mut runs, mut left, mut leaked) = (Vec::new(), 0, 0);
    for index in 0..plan.few() {
        let salt = format!("SALT=kill-{index}");
        let arguments = ["--build-arg", salt.as_str()];
        if farm.build_and_kill(&context, &arguments, INTERRUPTED / 2)? == Killed::TooLate {
            return Err(Error::Unmeasurable {
                scenario: "m9",
                reason: "the build ended before it was killed",
            });
        }
        left = farm.mounts()?.max(left);
        runs.push(farm.build(&context, &arguments)?);
        leaked = farm.mounts()?.max(leaked);
    }
    let row = Row::of("m9", "after kill -9", &runs)
        .with("finished steps kept, of 8 or 9", cached(&runs))
        .with("mounts left by the kill", Some(Quantity::Count(left)))
        .with("mounts left after the next build", Some(Quantity::Count(leaked)));
    sink(row);
    Ok(())
}

/// Builds that find every step done by the first cold run.
fn again(farm: &Farm, context: &Path, scenario: &'static str, plan: &Plan) -> Result<Row, Error> {
    let runs = unchanged(farm, context, "cold-0", plan.many())?;
    Ok(Row::of(scenario, "unchanged", &runs).with("steps cached", cached(&runs)))
}
