//! What is said of a step in words: how it is, and why the cache did not have it.

use farm_model::event::{Change, MissReason};
use ratatui::text::{Line, Span};

use super::text::{clip, first_line, size, span};
use crate::app::screen::Context;
use crate::state::{Build, Lookup, Phase, Step};

/// How a step is, in a word.
pub fn state(step: &Step) -> &'static str {
    match (step.phase, step.lookup) {
        (Phase::Waiting, _) => "waiting",
        (Phase::Queued { .. }, _) => "queued",
        (Phase::Running { .. }, Lookup::Shared { .. }) => "shared",
        (Phase::Running { .. }, _) => "running",
        (Phase::Cached, _) => "cached",
        (Phase::Done { .. }, Lookup::Shared { .. }) => "deduplicated",
        (Phase::Done { .. }, _) => "done",
        (Phase::Failed, _) => "failed",
        (Phase::Abandoned, _) => "abandoned",
    }
}

/// Everything about why a step had to be done, or had not.
pub fn why(build: &Build, step: &Step, context: &Context<'_>) -> Vec<Line<'static>> {
    let theme = context.theme;
    let name = first_line(&step.planned.name);
    let mut lines = vec![Line::styled(
        format!("[{}] {}", step.place(), clip(&name, 90, context.glyphs.ellipsis)),
        theme.strong,
    )];
    lines.push(Line::raw(""));
    match step.lookup {
        Lookup::Unknown => lines.push(Line::raw("The cache was not asked yet.")),
        Lookup::Hit { micros, bytes } => {
            let saved = format!("The cache had it: {} and {} saved.", span(micros), size(bytes));
            lines.push(Line::styled(saved, theme.good));
        }
        Lookup::Shared { build } => {
            let text =
                format!("The cache did not have it; build {build} was doing the same, so it was done once.");
            lines.push(Line::styled(text, theme.shared));
        }
        Lookup::Missed => lines.push(Line::raw("The cache did not have it, because")),
    }
    for (number, reason) in step.reasons.iter().enumerate() {
        lines.push(Line::raw(""));
        let style = if number == 0 { theme.warn } else { theme.text };
        lines.extend(self::reason(build, reason, context).into_iter().map(|(text, strong)| {
            Line::from(vec![Span::styled(text, if strong { style } else { theme.dim })])
        }));
    }
    if let Some(key) = step.key {
        lines.push(Line::raw(""));
        lines.push(Line::styled(format!("key {key}"), theme.dim));
    }
    lines
}

/// One reason in a line.
pub fn reason_line(build: &Build, reason: &MissReason, context: &Context<'_>) -> String {
    self::reason(build, reason, context).into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(" ")
}

/// Its lines, and which of them say it.
fn reason(build: &Build, reason: &MissReason, context: &Context<'_>) -> Vec<(String, bool)> {
    let arrow = context.glyphs.arrow;
    let pair = |what: String, before: &str, after: &str| {
        let (before, after) = (first_line(before).into_owned(), first_line(after).into_owned());
        vec![
            (what, true),
            (format!("  before  {before}"), false),
            (format!("  {arrow} now   {after}"), false),
        ]
    };
    let at = |first: &Option<String>| {
        first.as_ref().map(|path| format!(": first at {}", first_line(path))).unwrap_or_default()
    };
    match reason {
        MissReason::New => vec![("no step like it was ever done here".to_owned(), true)],
        MissReason::Disabled => vec![("the cache was not to be used (--no-cache)".to_owned(), true)],
        MissReason::Lost => vec![("its result is known, but the bytes of it are gone".to_owned(), true)],
        MissReason::Instruction { before, after } => {
            pair("the instruction changed".to_owned(), before, after)
        }
        MissReason::Variable { name, change } => {
            vec![(format!("the variable {} {}", first_line(name), has(*change)), true)]
        }
        MissReason::Files { origin, first, change, changed, total } => {
            let what = format!("{} in {} {}", first_line(first), first_line(origin), was(*change));
            let count = format!("  the first of {changed} changed files of {total}");
            vec![(what, true), (count, false)]
        }
        MissReason::Parent { step: Some(parent), first } => {
            let name = build.step(*parent).map_or_else(String::new, |step| {
                format!("[{}] {}", step.place(), first_line(&step.planned.name))
            });
            let name = clip(&name, 80, context.glyphs.ellipsis).into_owned();
            vec![
                (format!("the step before it left something else{}", at(first)), true),
                (format!("  {name}"), false),
            ]
        }
        MissReason::Parent { step: None, first } => {
            vec![(format!("what its stage starts from is another{}", at(first)), true)]
        }
        MissReason::Base { image, before, after } => {
            let show = |digest: &Option<farm_model::OciDigest>| {
                digest.map_or_else(|| "unknown".to_owned(), |digest| digest.to_string())
            };
            pair(format!("the base image {} is another one", first_line(image)), &show(before), &show(after))
        }
        MissReason::Setting { name, before, after } => {
            let name = first_line(name);
            let shown = |text: &str| if text.is_empty() { "not set".to_owned() } else { text.to_owned() };
            pair(format!("{name} changed"), &shown(before), &shown(after))
        }
    }
}

fn has(change: Change) -> &'static str {
    match change {
        Change::Added => "is new",
        Change::Removed => "is gone",
        Change::Modified => "has another value",
    }
}

fn was(change: Change) -> &'static str {
    match change {
        Change::Added => "was added",
        Change::Removed => "was removed",
        Change::Modified => "changed",
    }
}
