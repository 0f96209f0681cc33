//! A word about the build above its stages, and more about the selected step below them.

use farm_model::BuildId;
use farm_model::event::Ending;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::cells::{is_slow, style};
use super::rows::Key;
use crate::app::screen::Context;
use crate::state::text::harmless;
use crate::state::{Build, Step};
use crate::view::step_text;
use crate::view::table::{Side, put};
use crate::view::text::{first_line, size, span};

/// Rows below the stages, with the line above them.
const ROWS: u16 = 5;
/// Below this height the rows are worth more.
const LEAST: u16 = 6;

/// Says what the person has to know of the build; gives the rows that it took.
pub(super) fn word(build: &Build, context: &Context<'_>, area: Rect, buffer: &mut Buffer) -> u16 {
    let theme = context.theme;
    let line = match (build.ending(), build.warnings()) {
        (Some(Ending::Failed(failure)), _) => {
            let hint = failure
                .hint
                .as_ref()
                .map(|hint| format!(" (hint: {})", first_line(hint)))
                .unwrap_or_default();
            let text = format!("{} {}{hint}", context.glyphs.failed, first_line(&failure.message));
            Line::styled(text, theme.bad)
        }
        (_, [first, rest @ ..]) => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            Line::styled(format!("{} {}{more}", context.glyphs.warning, first_line(first)), theme.warn)
        }
        (_, []) => return 0,
    };
    if area.height < LEAST {
        return 0;
    }
    put(&line, Rect { height: 1, ..area }, Side::Left, context.glyphs, buffer);
    1
}

/// More about what is selected, at the bottom of an area; gives the rows that it took.
pub(super) fn draw(
    id: BuildId,
    build: &Build,
    key: Option<Key>,
    context: &Context<'_>,
    area: Rect,
    buffer: &mut Buffer,
) -> u16 {
    let Some(step) = key.and_then(Key::step).and_then(|step| build.step(step)) else { return 0 };
    let place = Rect { y: area.bottom() - ROWS, height: ROWS, ..area };
    let rule = context.glyphs.rule.repeat(usize::from(place.width));
    buffer.set_stringn(place.x, place.y, rule, usize::from(place.width), context.theme.dim);
    let mut lines = vec![head(step, context), Line::from(facts(build, step, context))];
    if let Some(reason) = step.reasons.first() {
        let text = step_text::reason_line(build, reason, context);
        let more = step.reasons.len() - 1;
        let more = if more > 0 { format!(" (and {more} more: w)") } else { String::new() };
        let why = Span::styled(format!("missed because {text}{more}"), context.theme.warn);
        lines.push(Line::from(why));
    }
    if let Some(line) = context.last_line(id, step.planned.id) {
        lines.push(Line::styled(format!("{} {line}", context.glyphs.trunk), context.theme.dim));
    }
    let rows = Rect { y: place.y + 1, height: ROWS - 1, ..place };
    for (line, row) in lines.iter().zip(rows.rows()) {
        put(line, row, Side::Left, context.glyphs, buffer);
    }
    ROWS
}

fn head(step: &Step, context: &Context<'_>) -> Line<'static> {
    let lines = match step.planned.lines {
        Some((first, last)) if first == last => format!("  line {first}"),
        Some((first, last)) => format!("  lines {first} to {last}"),
        None => String::new(),
    };
    Line::from(vec![
        Span::styled(format!("{} ", context.glyphs.step(step)), style(step, context.theme)),
        Span::styled(format!("[{}] ", step.place()), context.theme.accent),
        Span::styled(first_line(&step.planned.name).into_owned(), context.theme.strong),
        Span::styled(lines, context.theme.dim),
    ])
}

/// How it is, where, how long, and what it used.
fn facts(build: &Build, step: &Step, context: &Context<'_>) -> Vec<Span<'static>> {
    let (theme, now) = (context.theme, build.clock(context.now));
    let mut texts = vec![Span::styled(step_text::state(step), style(step, theme))];
    let mut say = |text: String| texts.push(Span::raw(text));
    if let Some(worker) = &step.worker {
        say(format!(" on {}", harmless(&worker.0)));
    }
    if let Some(took) = step.duration(now) {
        say(format!(", {}", span(took)));
    }
    if let Some(usual) = step.expected {
        say(format!(", usually {}", span(usual)));
    }
    if let (Some(queued), Some(started)) = (step.queued_at, step.started_at) {
        say(format!(", waited {} for a slot", span(started.saturating_sub(queued))));
    }
    if step.fetched > 0 {
        say(format!(", fetched {}", size(step.fetched)));
    }
    if step.bytes > 0 {
        say(format!(", layer {}", size(step.bytes)));
    }
    if step.usage.cpu_micros > 0 || step.usage.peak_memory > 0 {
        say(format!(", cpu {}, memory {}", span(step.usage.cpu_micros), size(step.usage.peak_memory)));
    }
    if step.retries > 0 {
        say(format!(", began {} times anew", step.retries));
    }
    if is_slow(step, now) {
        texts.push(Span::styled(", slower than usual", theme.warn));
    }
    texts
}
