//! The timeline: what was done when, in the slots of workers and by stage.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use farm_model::StepId;

use super::lanes::lanes;
use super::page::{class, escape, title};
use super::{Report, interval};
use crate::state::{Phase, Step};
use crate::view::text::span;

/// Width of the part where bars are, in units of the drawing.
const WIDTH: u64 = 1000;
/// Width of the part where names are.
const NAMES: u64 = 180;
/// Height of a row.
const ROW: u64 = 22;
/// Height of the scale.
const SCALE: u64 = 20;
/// Marks on the scale.
const MARKS: u64 = 10;

/// One row: its name, the bars in it, and the moments at which something was found in the cache.
struct Row<'a> {
    name: String,
    bars: Vec<(&'a Step, u64, u64)>,
    moments: Vec<(&'a Step, u64)>,
}

/// By the slots of workers.
pub(super) fn by_worker(report: &Report<'_>, critical: &BTreeSet<StepId>) -> String {
    let rows = lanes(report.build).into_iter().map(|lane| {
        let bar = |(id, start, end): (StepId, u64, u64)| Some((report.build.step(id)?, start, end));
        Row {
            name: format!("{} #{}", lane.worker, lane.slot + 1),
            bars: lane.steps.into_iter().filter_map(bar).collect(),
            moments: Vec::new(),
        }
    });
    draw(report, &rows.collect::<Vec<_>>(), critical)
}

/// By stage; what was found in the cache is a mark.
pub(super) fn by_stage(report: &Report<'_>, critical: &BTreeSet<StepId>) -> String {
    let rows = report.build.stages().values().map(|stage| {
        let steps = || stage.steps.iter().filter_map(|id| report.build.step(*id));
        let bar = |step| interval(report.build, step).map(|(start, end)| (step, start, end));
        let moment = |step: &'_ Step| (step.phase == Phase::Cached).then_some(step.ended_at?);
        Row {
            name: stage.name.clone(),
            bars: steps().filter_map(bar).collect(),
            moments: steps().filter_map(|step| moment(step).map(|at| (step, at))).collect(),
        }
    });
    draw(report, &rows.collect::<Vec<_>>(), critical)
}

fn draw(report: &Report<'_>, rows: &[Row<'_>], critical: &BTreeSet<StepId>) -> String {
    if rows.iter().all(|row| row.bars.is_empty() && row.moments.is_empty()) {
        return "<p class=dim>Nothing was done.</p>\n".to_owned();
    }
    let whole = report.build.at().max(1);
    let place =
        |at: u64| u64::try_from(u128::from(at) * u128::from(WIDTH) / u128::from(whole)).unwrap_or(WIDTH);
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let height = SCALE + ROW.saturating_mul(count);
    let mut out = format!("<svg viewBox=\"0 0 {} {height}\" class=chart role=img>\n", NAMES + WIDTH);
    for mark in 0..=MARKS {
        let x = NAMES + WIDTH * mark / MARKS;
        let anchor = if mark == MARKS { "end" } else { "start" };
        let time = span(whole / MARKS * mark);
        let _infallible = writeln!(
            out,
            "<line x1={x} x2={x} y1=0 y2={height} class=grid /><text x={x} y=12 class=scale text-anchor={anchor}>{time}</text>"
        );
    }
    for (number, row) in (0_u64..).zip(rows) {
        let y = SCALE + ROW * number;
        let _infallible =
            writeln!(out, "<text x=0 y={} class=name>{}</text>", y + 15, escape(&shorten(&row.name)));
        for (step, start, end) in &row.bars {
            let (x, to) = (place(*start), place(*end));
            let mark = if critical.contains(&step.planned.id) { " critical" } else { "" };
            let _infallible = writeln!(
                out,
                "<rect x={} y={} width={} height={} class=\"{}{mark}\"><title>{}</title></rect>",
                NAMES + x,
                y + 3,
                to.saturating_sub(x).max(2),
                ROW - 6,
                class(step),
                title(step, report.build.at()),
            );
        }
        for (step, at) in &row.moments {
            let _infallible = writeln!(
                out,
                "<circle cx={} cy={} r=4 class=cached><title>{}</title></circle>",
                NAMES + place(*at).clamp(4, WIDTH - 4),
                y + ROW / 2,
                title(step, report.build.at()),
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// A name that fits beside its row.
fn shorten(name: &str) -> String {
    const LONGEST: usize = 26;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}
