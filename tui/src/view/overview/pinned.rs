//! Failures on top of all builds, each with the last lines that it wrote.

use farm_model::BuildId;
use farm_model::event::Ending;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::screen::{Context, Hits, Target};
use crate::app::world::failed_step;
use crate::state::Build;
use crate::view::table::{Side, put};
use crate::view::text::{ago, first_line};

/// Lines of a log that are shown of a failure.
const LINES: usize = 3;

/// Draws as many failures as there is room for; gives the rows that it took.
pub(super) fn draw(
    failures: &[BuildId],
    context: &Context<'_>,
    area: Rect,
    buffer: &mut Buffer,
    hits: &mut Hits,
) -> u16 {
    let room = usize::from(area.height);
    let known = failures.iter().filter_map(|id| Some((*id, context.build(*id)?)));
    let mut shown: Vec<(BuildId, Vec<Line<'static>>)> = Vec::new();
    let (mut used, mut hidden) = (0, 0);
    for (id, build) in known {
        let lines = lines(id, build, context);
        // The last row is left for what does not fit, and for the rule.
        if used + lines.len().min(2) + 1 > room {
            hidden += 1;
            continue;
        }
        let most = lines.len().min(room - used - 1);
        used += most;
        shown.push((id, lines.into_iter().take(most).collect()));
    }
    if shown.is_empty() {
        return 0;
    }
    let mut y = area.y;
    for (id, lines) in shown {
        let top = y;
        for line in lines {
            put(&line, Rect { y, height: 1, ..area }, Side::Left, context.glyphs, buffer);
            y += 1;
        }
        let step = context.build(id).and_then(failed_step).map(|step| step.planned.id);
        let target = step.map_or(Target::Build(id), |step| Target::Step(id, step));
        hits.add(Rect { y: top, height: y - top, ..area }, target);
    }
    let more = if hidden > 0 { format!(" {hidden} more failed ") } else { String::new() };
    let rule = context.glyphs.rule.repeat(usize::from(area.width));
    buffer.set_stringn(area.x, y, rule, usize::from(area.width), context.theme.dim);
    buffer.set_stringn(
        area.x + 2.min(area.width),
        y,
        more,
        usize::from(area.width.saturating_sub(2)),
        context.theme.bad,
    );
    y + 1 - area.y
}

/// What is said of a failure: its head, and the end of its log or its message.
fn lines(id: BuildId, build: &Build, context: &Context<'_>) -> Vec<Line<'static>> {
    let theme = context.theme;
    let part = |text: String, style: Style| Span::styled(text, style);
    let mut head =
        vec![part(format!("{} ", context.glyphs.failed), theme.bad), part(build.title(), theme.strong)];
    let step = failed_step(build);
    if let Some(step) = step {
        head.push(part(format!("  [{}] {}", step.place(), first_line(&step.planned.name)), theme.text));
        if let Some(exit) = step.exit {
            head.push(part(format!("  {exit}"), theme.bad));
        }
    }
    let end = build.started().saturating_add(i64::try_from(build.at()).unwrap_or(0).saturating_mul(1000));
    head.push(part(format!("  {} ago", ago(context.now, end)), theme.dim));
    let mut lines = vec![Line::from(head)];
    let wanted = step.map(|step| step.planned.id);
    let log = context.logs.get(&id).map(crate::state::Log::lines);
    let of_step = log.into_iter().flatten().rev().filter(|line| line.step == wanted && line.step.is_some());
    // That it failed is said in the head.
    let texts = of_step.map(|line| line.text.as_str()).filter(|text| !text.starts_with("failed: "));
    let mut tail: Vec<String> = texts.take(LINES).map(str::to_owned).collect();
    tail.reverse();
    if tail.is_empty()
        && let Some(Ending::Failed(failure)) = build.ending()
    {
        let texts = failure.message.lines().filter(|line| !line.trim().is_empty());
        tail = texts.take(LINES).map(|line| first_line(line).into_owned()).collect();
    }
    lines.extend(
        tail.into_iter().map(|text| Line::styled(format!("  {} {text}", context.glyphs.trunk), theme.dim)),
    );
    lines
}
