//! The graph of a build: a box a stage, a line a step, an arrow from each stage to the steps that need it. A stage stands to
//! the right of all that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use farm_model::{StageId, StepId};

use super::page::{class, escape, title};
use crate::state::Build;
use crate::view::text::first_line;

/// Width of a box, in units of the drawing.
const WIDTH: u64 = 250;
/// Space between columns.
const BETWEEN: u64 = 60;
/// Height of a line.
const LINE: u64 = 18;
/// Space between boxes of a column.
const GAP: u64 = 16;
/// Steps that a box shows.
const SHOWN: usize = 40;
/// Stages that are drawn.
const MOST: usize = 400;
/// Characters that fit into a line.
const FIT: usize = 34;

/// Where a stage is drawn.
#[derive(Clone, Copy)]
struct Spot {
    x: u64,
    y: u64,
    height: u64,
}

/// Draws it.
pub(super) fn draw(build: &Build, critical: &BTreeSet<StepId>) -> String {
    let (spots, width, height) = layout(build);
    if spots.is_empty() {
        return "<p class=dim>There is no plan.</p>\n".to_owned();
    }
    let mut out = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width={width} height={height} class=graph role=img>\n<defs><marker id=tip viewBox=\"0 0 8 8\" refX=8 refY=4 markerWidth=7 markerHeight=7 orient=auto><path d=\"M0 0L8 4L0 8z\" class=tip /></marker></defs>\n"
    );
    for (id, spot) in &spots {
        arrows(&mut out, build, *id, *spot, &spots, critical);
    }
    for (id, spot) in &spots {
        stage(&mut out, build, *id, *spot, critical);
    }
    out.push_str("</svg>\n");
    let left_out = build.stages().len().saturating_sub(spots.len());
    if left_out > 0 {
        let _infallible = writeln!(out, "<p class=dim>and {left_out} more stages</p>");
    }
    out
}

fn layout(build: &Build) -> (BTreeMap<StageId, Spot>, u64, u64) {
    let mut columns: BTreeMap<StageId, u64> = BTreeMap::new();
    let mut filled: BTreeMap<u64, u64> = BTreeMap::new();
    let mut spots = BTreeMap::new();
    for (id, stage) in build.stages().iter().take(MOST) {
        // Stages come in the order of the Dockerfile, and none needs a later one.
        let column = stage.needs.iter().filter_map(|need| columns.get(need)).max().map_or(0, |most| most + 1);
        columns.insert(*id, column);
        let lines = stage.steps.len().min(SHOWN) + usize::from(stage.steps.len() > SHOWN) + 1;
        let height = LINE * u64::try_from(lines).unwrap_or(1) + 8;
        let top = filled.entry(column).or_insert(4);
        spots.insert(*id, Spot { x: 4 + column * (WIDTH + BETWEEN), y: *top, height });
        *top += height + GAP;
    }
    let columns = filled.keys().next_back().map_or(0, |last| last + 1);
    let height = filled.values().max().copied().unwrap_or(0);
    (spots, columns * (WIDTH + BETWEEN), height)
}

fn arrows(
    out: &mut String,
    build: &Build,
    id: StageId,
    spot: Spot,
    spots: &BTreeMap<StageId, Spot>,
    critical: &BTreeSet<StepId>,
) {
    let Some(stage) = build.stages().get(&id) else { return };
    for (line, step) in (1_u64..).zip(stage.steps.iter().take(SHOWN)) {
        let needs = build.step(*step).map(|step| step.planned.needs.as_slice()).unwrap_or_default();
        for need in needs {
            let Some(from) = spots.get(need) else { continue };
            let last = build.stages().get(need).and_then(|stage| stage.steps.last());
            let on_path = critical.contains(step) && last.is_some_and(|last| critical.contains(last));
            let (x1, y1) = (from.x + WIDTH, from.y + from.height / 2);
            let (x2, y2) = (spot.x, spot.y + LINE * line + LINE / 2 + 2);
            let middle = x1.midpoint(x2);
            let mark = if on_path { "arrow critical" } else { "arrow" };
            let _infallible = writeln!(
                out,
                "<path d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}\" class=\"{mark}\" marker-end=\"url(#tip)\"/>"
            );
        }
    }
}

fn stage(out: &mut String, build: &Build, id: StageId, spot: Spot, critical: &BTreeSet<StepId>) {
    let Some(stage) = build.stages().get(&id) else { return };
    let Spot { x, y, height } = spot;
    let _infallible = writeln!(
        out,
        "<rect x={x} y={y} width={WIDTH} height={height} rx=4 class=box /><text x={} y={} class=stage>{}</text>",
        x + 8,
        y + 14,
        escape(&cut(&stage.name)),
    );
    for (line, step) in (1_u64..).zip(stage.steps.iter().take(SHOWN)) {
        let Some(step) = build.step(*step) else { continue };
        let top = y + LINE * line + 2;
        let mark = if critical.contains(&step.planned.id) { " critical" } else { "" };
        let _infallible = writeln!(
            out,
            "<g><title>{}</title><rect x={} y={} width=10 height=10 class=\"{}{mark}\"/><text x={} y={} class=step>{}</text></g>",
            title(step, build.at()),
            x + 8,
            top + 5,
            class(step),
            x + 24,
            top + 14,
            escape(&cut(&first_line(&step.planned.name))),
        );
    }
    if stage.steps.len() > SHOWN {
        let line = LINE * u64::try_from(SHOWN + 1).unwrap_or(1);
        let more = stage.steps.len() - SHOWN;
        let _infallible =
            writeln!(out, "<text x={} y={} class=step>and {more} more</text>", x + 24, y + line + 16);
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= FIT {
        return text.to_owned();
    }
    text.chars().take(FIT - 1).chain(['…']).collect()
}
