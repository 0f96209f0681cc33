//! What the table of builds says of one.

use std::borrow::Cow;

use farm_model::BuildId;
use farm_model::event::{Ending, PastOutcome};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::filter::Fields;
use crate::app::screen::Context;
use crate::app::world::has_failed;
use crate::state::text::harmless;
use crate::state::{Build, Phase};
use crate::view::graph::bar;
use crate::view::text::{size, span};

/// Cells of the bar of progress.
const BAR: usize = 8;
/// Digits of a build's id that are shown; enough to name it to a command.
const DIGITS: usize = 8;

/// A build as a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) id: BuildId,
    pub(super) build: &'a Build,
    pub(super) context: Context<'a>,
}

/// How a build is, in a word.
pub(super) fn state(build: &Build) -> &'static str {
    let past = build.past().filter(|_| build.requested().is_none()).map(|past| past.outcome);
    match (build.ending(), past) {
        (Some(Ending::Succeeded { .. }), _) | (None, Some(PastOutcome::Succeeded)) => "done",
        (Some(Ending::Failed(_)), _) | (None, Some(PastOutcome::Failed)) => "failed",
        (Some(Ending::Cancelled), _) | (None, Some(PastOutcome::Cancelled)) => "cancelled",
        (Some(Ending::Interrupted), _) | (None, Some(PastOutcome::Interrupted)) => "interrupted",
        (None, None) if has_failed(build) => "failing",
        (None, None) if is_blocked(build) => "queued",
        (None, None) => "running",
    }
}

fn is_blocked(build: &Build) -> bool {
    build.counts().running == 0 && build.counts().queued > 0
}

/// Running builds first, then what is over.
pub(super) fn rank(build: &Build) -> u8 {
    if build.is_over() { 2 } else { u8::from(is_blocked(build)) }
}

pub(super) fn client(build: &Build) -> &str {
    let past = || build.past().map(|past| past.client.as_str());
    build.requested().map(|requested| requested.client.as_str()).or_else(past).unwrap_or_default()
}

/// Steps that are over, in thousandths of all.
pub(super) fn progress(build: &Build) -> usize {
    let counts = build.counts();
    (counts.over() * 1000).checked_div(counts.steps).unwrap_or(0)
}

/// What goes on before its first step and after its last one.
pub(super) fn activity(build: &Build) -> Option<&str> {
    let counts = build.counts();
    build.activity().filter(|_| !build.is_over() && counts.over() == counts.steps)
}

/// Where its steps run.
pub(super) fn place(build: &Build) -> String {
    if build.is_over() || build.counts().running == 0 {
        return String::new();
    }
    let running = build.steps().filter(|step| matches!(step.phase, Phase::Running { .. }));
    let mut workers: Vec<&str> = running.filter_map(|step| Some(step.worker.as_ref()?.0.as_str())).collect();
    workers.sort_unstable();
    workers.dedup();
    match workers.as_slice() {
        [] => String::new(),
        [one] => harmless(one).into_owned(),
        [first, rest @ ..] => format!("{} +{}", harmless(first), rest.len()),
    }
}

impl Fields for Row<'_> {
    fn field(&self, key: &str) -> Option<Cow<'_, str>> {
        let any = |mut texts: Vec<String>| {
            texts.dedup();
            Some(Cow::Owned(texts.join(" ")))
        };
        match key {
            "state" => Some(state(self.build).into()),
            "name" => Some(self.build.title().into()),
            "id" => Some(self.id.to_string().into()),
            "user" | "who" => Some(client(self.build).into()),
            "worker" | "where" => {
                any(self.build.steps().filter_map(|step| Some(step.worker.as_ref()?.0.clone())).collect())
            }
            "stage" => any(self.build.stages().values().map(|stage| stage.name.clone()).collect()),
            "step" => any(self.build.steps().map(|step| step.planned.name.clone()).collect()),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        let build = self.build;
        let names = build.names().join(" ");
        format!("{} {} {names} {} {} {}", state(build), build.title(), self.id, client(build), place(build))
            .into()
    }
}

pub(super) fn cell(row: &Row<'_>, column: usize) -> Line<'static> {
    let Row { id, build, context } = *row;
    let (theme, counts) = (context.theme, build.counts());
    let text = |text: String, style: Style| Line::styled(text, style);
    let over = if build.is_over() { theme.dim } else { theme.text };
    let number = |number: usize| if number == 0 { String::new() } else { number.to_string() };
    match column {
        0 => {
            let (sign, style) = sign(row);
            Line::from(vec![Span::styled(sign, style), Span::styled(format!(" {}", short(build)), style)])
        }
        1 => text(build.title(), if build.is_over() { theme.text } else { theme.strong }),
        2 => text(id.to_string().chars().take(DIGITS).collect(), theme.dim),
        3 => text(harmless(client(build)).into_owned(), over),
        4 => progress_cell(row),
        5 => text(number(counts.cached), theme.cached),
        6 => {
            let queued = if counts.queued > 0 { format!("+{}", counts.queued) } else { String::new() };
            if build.is_over() {
                return Line::default();
            }
            Line::from(vec![
                Span::styled(number(counts.running), theme.running),
                Span::styled(queued, theme.warn),
            ])
        }
        7 => text(span(build.clock(context.now)), over),
        8 => {
            let left = context.estimates.remaining(id, context.now).filter(|_| !build.is_over());
            text(left.map_or_else(String::new, span), theme.text)
        }
        9 => text(build.image_bytes().map_or_else(String::new, size), over),
        _ => match activity(build) {
            Some(activity) => text(activity.to_owned(), theme.dim),
            None => text(place(build), theme.text),
        },
    }
}

fn short(build: &Build) -> &'static str {
    match state(build) {
        "done" => "ok",
        "running" => "run",
        "queued" => "wait",
        "failed" | "failing" => "fail",
        "cancelled" => "gone",
        _ => "lost",
    }
}

fn sign(row: &Row<'_>) -> (&'static str, Style) {
    let (theme, glyphs) = (row.context.theme, row.context.glyphs);
    match state(row.build) {
        "done" => (glyphs.done, theme.good),
        "running" => (glyphs.running, theme.running),
        "queued" => (glyphs.queued, theme.waiting),
        "failed" | "failing" => (glyphs.failed, theme.bad),
        _ => (glyphs.cancelled, theme.dim),
    }
}

fn progress_cell(row: &Row<'_>) -> Line<'static> {
    let (counts, theme) = (row.build.counts(), row.context.theme);
    if counts.steps == 0 {
        return Line::default();
    }
    let count = format!("{}/{}", counts.over(), counts.steps);
    if row.build.is_over() {
        return Line::styled(count, theme.dim);
    }
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let part = counts.over() as f64 / counts.steps as f64;
    let style = if counts.failed > 0 { theme.bad } else { theme.running };
    let [full, rest] = bar(part, BAR, style, theme, row.context.glyphs);
    Line::from(vec![full, rest, Span::raw(format!(" {count}"))])
}
