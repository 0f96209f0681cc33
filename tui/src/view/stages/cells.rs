//! What a row says of its stage or step.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::gutter::Gutter;
use super::rows::{Key, Row};
use crate::app::screen::Context;
use crate::state::text::harmless;
use crate::state::{Lookup, Phase, Stage, Step};
use crate::view::step_text;
use crate::view::text::{first_line, size, span};
use crate::view::theme::Theme;

/// Beyond this many times what is usual, in halves, a step is slow.
const SLOW_HALVES: u64 = 3;
/// What a step may take longer than usual in any case, in microseconds.
const SLOW_LEAST: u64 = 2_000_000;

pub(super) fn cell(row: &Row<'_>, gutter: &Gutter, context: &Context<'_>, column: usize) -> Line<'static> {
    match row.key {
        Key::Stage(id) => row
            .build
            .stages()
            .get(&id)
            .map(|stage| stage_cell(row, stage, gutter, context, column))
            .unwrap_or_default(),
        Key::Step(id) => {
            row.build.step(id).map(|step| step_cell(row, step, gutter, context, column)).unwrap_or_default()
        }
    }
}

/// The style of a step by how it is.
pub(super) fn style(step: &Step, theme: &Theme) -> Style {
    match (step.phase, step.lookup) {
        (Phase::Waiting | Phase::Queued { .. }, _) => theme.waiting,
        (Phase::Running { .. } | Phase::Done { .. }, Lookup::Shared { .. }) => theme.shared,
        (Phase::Running { .. }, _) => theme.running,
        (Phase::Cached, _) => theme.cached,
        (Phase::Done { .. }, _) => theme.good,
        (Phase::Failed, _) => theme.bad,
        (Phase::Abandoned, _) => theme.dim,
    }
}

/// Whether it takes or took much longer than usual.
pub(super) fn is_slow(step: &Step, now: u64) -> bool {
    let (Some(took), Some(usual)) = (step.duration(now), step.expected) else { return false };
    took > usual.saturating_add(SLOW_LEAST) && took > usual.saturating_mul(SLOW_HALVES) / 2
}

fn step_cell(
    row: &Row<'_>,
    step: &Step,
    gutter: &Gutter,
    context: &Context<'_>,
    column: usize,
) -> Line<'static> {
    let (theme, glyphs) = (context.theme, context.glyphs);
    let own = style(step, theme);
    match column {
        0 => {
            let is_critical = row.path.contains(&step.planned.id);
            let mark = if is_critical { glyphs.critical } else { " " };
            let name = match step.phase {
                Phase::Waiting | Phase::Queued { .. } | Phase::Abandoned => theme.dim,
                Phase::Running { .. } | Phase::Failed => theme.strong,
                Phase::Cached | Phase::Done { .. } => theme.text,
            };
            Line::from(vec![
                Span::styled(gutter.signs(row.at, glyphs), theme.dim),
                Span::styled(mark, theme.critical),
                Span::styled(format!(" {} ", glyphs.step(step)), own),
                Span::styled(first_line(&step.planned.name).into_owned(), name),
            ])
        }
        1 => Line::styled(step_text::state(step), own),
        2 => took(step, row.now, context),
        3 => Line::styled(step.expected.map_or_else(String::new, span), theme.dim),
        4 => {
            let place = match (&step.worker, step.lookup) {
                (Some(worker), _) => harmless(&worker.0).into_owned(),
                (None, Lookup::Shared { build }) => format!("of {}", build.to_string().split_at(8).0),
                (None, Lookup::Unknown | Lookup::Hit { .. } | Lookup::Missed) => String::new(),
            };
            Line::styled(place, theme.text)
        }
        5 => Line::styled(if step.bytes > 0 { size(step.bytes) } else { String::new() }, theme.dim),
        _ => says(row, step, context),
    }
}

fn took(step: &Step, now: u64, context: &Context<'_>) -> Line<'static> {
    let theme = context.theme;
    match (step.phase, step.lookup) {
        (Phase::Queued { since }, _) => Line::styled(span(now.saturating_sub(since)), theme.waiting),
        (Phase::Cached, Lookup::Hit { micros, .. }) => {
            Line::styled(format!("-{}", span(micros)), theme.cached)
        }
        _ => {
            let text = step.duration(now).map_or_else(String::new, span);
            if is_slow(step, now) {
                Line::styled(format!("{}{text}", context.glyphs.warning), theme.warn)
            } else {
                Line::styled(text, theme.text)
            }
        }
    }
}

/// The last line of its log; where there is none, why it was not in the cache.
fn says(row: &Row<'_>, step: &Step, context: &Context<'_>) -> Line<'static> {
    let theme = context.theme;
    let line = context
        .last_line(row.id, step.planned.id)
        .or((!step.last_line.is_empty()).then_some(&step.last_line));
    let failed = step.exit.filter(|_| step.phase == Phase::Failed).map(|exit| exit.to_string());
    match (failed, line, step.reasons.first()) {
        (Some(exit), None, _) => Line::styled(exit, theme.bad),
        (Some(exit), Some(line), _) => {
            Line::from(vec![Span::styled(exit, theme.bad), Span::styled(format!(": {line}"), theme.dim)])
        }
        (None, Some(line), _) if !matches!(step.phase, Phase::Done { .. }) => {
            Line::styled(line.to_owned(), theme.dim)
        }
        (None, _, Some(reason)) => {
            Line::styled(format!("missed: {}", step_text::reason_line(row.build, reason, context)), theme.dim)
        }
        (None, line, None) => Line::styled(line.unwrap_or_default().to_owned(), theme.dim),
    }
}

fn stage_cell(
    row: &Row<'_>,
    stage: &Stage,
    gutter: &Gutter,
    context: &Context<'_>,
    column: usize,
) -> Line<'static> {
    let (theme, glyphs) = (context.theme, context.glyphs);
    let steps = || stage.steps.iter().filter_map(|id| row.build.step(*id));
    match column {
        0 => {
            let fold = if row.folded { glyphs.folded } else { glyphs.unfolded };
            let is_critical = row.folded && stage.steps.iter().any(|step| row.path.contains(step));
            let mark = if is_critical { glyphs.critical } else { " " };
            let over = steps().filter(|step| step.phase.is_over()).count();
            let mut spans = vec![
                Span::styled(gutter.signs(row.at, glyphs), theme.dim),
                Span::styled(mark, theme.critical),
                Span::styled(format!("{fold} "), theme.accent),
                Span::styled(harmless(&stage.name).into_owned(), theme.accent),
                Span::styled(format!(" {over}/{} ", stage.steps.len()), theme.dim),
            ];
            // A sign for each step says more than a number, for as long as there are few.
            spans.extend(steps().take(24).map(|step| Span::styled(glyphs.step(step), style(step, theme))));
            Line::from(spans)
        }
        1 if row.folded => Line::styled(stage_state(&steps()), theme.dim),
        2 if row.folded => {
            let start = steps().filter_map(|step| step.started_at).min();
            let end = steps().filter_map(|step| step.ended_at).max();
            let took = start.zip(end).map(|(start, end)| span(end.saturating_sub(start)));
            Line::styled(took.unwrap_or_default(), theme.dim)
        }
        5 => {
            let size_of = row.build.sizes().iter().find(|size| size.stage == stage.name);
            Line::styled(size_of.map_or_else(String::new, |stage| size(stage.bytes)), theme.dim)
        }
        6 => {
            let names = stage.needs.iter().filter_map(|need| row.build.stages().get(need));
            let names: Vec<_> = names.map(|stage| harmless(&stage.name)).collect();
            let text = if names.is_empty() { String::new() } else { format!("needs {}", names.join(", ")) };
            Line::styled(text, theme.dim)
        }
        _ => Line::default(),
    }
}

fn stage_state<'a>(steps: &(impl Iterator<Item = &'a Step> + Clone)) -> &'static str {
    let all = |wanted: fn(Phase) -> bool| steps.clone().all(|step| wanted(step.phase));
    if all(|phase| phase == Phase::Cached) {
        "cached"
    } else if all(Phase::is_over) {
        if steps.clone().any(|step| step.phase == Phase::Failed) { "failed" } else { "done" }
    } else if steps.clone().any(|step| matches!(step.phase, Phase::Running { .. })) {
        "running"
    } else {
        "waiting"
    }
}
