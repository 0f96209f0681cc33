//! What the selected build is doing, below the table of all builds.

use farm_model::BuildId;
use farm_model::event::Ending;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::screen::{Context, Hits, Target};
use crate::state::text::harmless;
use crate::state::{Build, Phase, Step};
use crate::view::step_text;
use crate::view::table::{Side, put};
use crate::view::text::{clip, first_line, size, span, width};

/// Below this height the rows of the table are worth more.
const LEAST: u16 = 22;
/// Its part of the area at most.
const PART: u16 = 3;

/// Draws it at the bottom of an area; gives the rows that it took.
pub(super) fn draw(
    id: BuildId,
    context: &Context<'_>,
    area: Rect,
    buffer: &mut Buffer,
    hits: &mut Hits,
) -> u16 {
    let Some(build) = context.build(id).filter(|_| area.height >= LEAST) else { return 0 };
    let most = usize::from(area.height / PART) - 1;
    let mut lines = live(id, build, most, context);
    if lines.is_empty() {
        lines = result(build, most, context);
    }
    if lines.is_empty() {
        return 0;
    }
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX) + 1;
    let place = Rect { y: area.bottom() - rows, height: rows, ..area };
    let (theme, glyphs) = (context.theme, context.glyphs);
    let rule = glyphs.rule.repeat(usize::from(place.width));
    buffer.set_stringn(place.x, place.y, rule, usize::from(place.width), theme.dim);
    let title = format!(" {} ", build.title());
    let room = usize::from(place.width.saturating_sub(4));
    buffer.set_stringn(place.x + 2, place.y, clip(&title, room, glyphs.ellipsis), room, theme.accent);
    for ((step, line), row) in lines.iter().zip(place.rows().skip(1)) {
        put(line, row, Side::Left, glyphs, buffer);
        hits.add(row, step.map_or(Target::Build(id), |step| Target::Step(id, step)));
    }
    rows
}

type Lines = Vec<(Option<farm_model::StepId>, Line<'static>)>;

/// The steps that run, failed or wait for a slot, as many as fit.
fn live(id: BuildId, build: &Build, most: usize, context: &Context<'_>) -> Lines {
    let counts = build.counts();
    if counts.running + counts.queued + counts.failed == 0 {
        return Vec::new();
    }
    let wanted = |step: &&Step| match step.phase {
        Phase::Running { .. } | Phase::Queued { .. } | Phase::Failed => true,
        Phase::Waiting | Phase::Cached | Phase::Done { .. } | Phase::Abandoned => false,
    };
    let steps: Vec<&Step> = build.steps().filter(wanted).collect();
    let shown = if steps.len() > most { most.saturating_sub(1) } else { steps.len() };
    let now = build.clock(context.now);
    let mut lines: Lines =
        steps.iter().take(shown).map(|step| (Some(step.planned.id), line(id, step, now, context))).collect();
    if shown < steps.len() {
        let text = format!("+ {} more", steps.len() - shown);
        lines.push((None, Line::styled(text, context.theme.dim)));
    }
    lines
}

fn line(id: BuildId, step: &Step, now: u64, context: &Context<'_>) -> Line<'static> {
    let (theme, glyphs) = (context.theme, context.glyphs);
    let style = match step.phase {
        Phase::Failed => theme.bad,
        Phase::Queued { .. } => theme.waiting,
        Phase::Running { .. } | Phase::Waiting | Phase::Cached | Phase::Done { .. } | Phase::Abandoned => {
            theme.running
        }
    };
    let time = match step.phase {
        Phase::Queued { since } => now.saturating_sub(since),
        Phase::Running { .. }
        | Phase::Failed
        | Phase::Waiting
        | Phase::Cached
        | Phase::Done { .. }
        | Phase::Abandoned => step.duration(now).unwrap_or(0),
    };
    let usual = step.expected.map(|usual| format!("/{}", span(usual))).unwrap_or_default();
    let place = step.worker.as_ref().map(|worker| format!("@{}", harmless(&worker.0))).unwrap_or_default();
    let name = format!("[{}] {}", step.place(), first_line(&step.planned.name));
    let name = clip(&name, 60, glyphs.ellipsis);
    let gap = " ".repeat(60_usize.saturating_sub(width(&name)));
    let said = context.last_line(id, step.planned.id).unwrap_or(&step.last_line).to_owned();
    Line::from(vec![
        Span::styled(format!("{} ", glyphs.step(step)), style),
        Span::styled(format!("{:>13} ", format!("{}{usual}", span(time))), theme.text),
        Span::styled(format!("{name}{gap} "), theme.text),
        Span::styled(
            format!("{:<8} ", if place.is_empty() { step_text::state(step).to_owned() } else { place }),
            theme.dim,
        ),
        Span::styled(said, theme.dim),
    ])
}

/// How it ended and what it made.
fn result(build: &Build, most: usize, context: &Context<'_>) -> Lines {
    let theme = context.theme;
    let mut lines: Lines = Vec::new();
    let mut say = |line| lines.push((None, line));
    if let Some(Ending::Failed(failure)) = build.ending() {
        for text in failure.message.lines().filter(|text| !text.trim().is_empty()) {
            say(Line::styled(first_line(text).into_owned(), theme.bad));
        }
    }
    if let Some(bytes) = build.image_bytes() {
        let discarded = build.discarded_bytes().filter(|bytes| *bytes > 0);
        let discarded =
            discarded.map(|bytes| format!(", {} of other stages discarded", size(bytes))).unwrap_or_default();
        say(Line::styled(format!("image of {}{discarded}", size(bytes)), theme.text));
    }
    for exported in build.exported() {
        let text = format!(
            "wrote {} ({} in {})",
            first_line(&exported.output),
            size(exported.bytes),
            span(exported.micros)
        );
        say(Line::styled(text, theme.text));
    }
    for warning in build.warnings() {
        say(Line::styled(format!("{} {}", context.glyphs.warning, first_line(warning)), theme.warn));
    }
    if let Some(activity) = super::cells::activity(build) {
        say(Line::styled(activity.to_owned(), theme.dim));
    }
    lines.truncate(most);
    lines
}
