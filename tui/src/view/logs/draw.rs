//! Draws the screen of a log.

use farm_model::event::Stream;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::index::line;
use super::place::{Row, Wrap, shown};
use super::{Logs, Pin, Sieve, Tail, Times};
use crate::app::screen::{Context, Hits, Target};
use crate::state::text::harmless;
use crate::state::{Build, Log, LogLine};
use crate::view::table::{Side, put, scroll_bar};
use crate::view::text::{clip, span, time_of_day, width};

/// The widest that the names of steps become.
const WIDEST_STEP: usize = 18;
/// The fewest rows in which a failure is pinned.
const ROOM_FOR_PIN: u16 = 11;

pub(super) fn draw(logs: &Logs, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let Some(log) = logs.log(context) else {
        let text = if logs.build.is_some() { "the log is asked for" } else { "no build is selected" };
        put(&Line::styled(text, context.theme.dim), area, Side::Left, context.glyphs, buffer);
        return;
    };
    let pin = logs.pin.as_ref().filter(|_| area.height >= ROOM_FOR_PIN);
    let pinned = pin.map_or(0, |pin| {
        let lines = u16::try_from(pin.lines.len()).unwrap_or(u16::MAX);
        1 + lines.min(area.height / 4)
    });
    let status = u16::from(area.height > 2);
    let body = Rect { height: area.height - pinned - status, ..area };
    Body { logs, context, log, build: logs.of(context) }.draw(body, buffer, hits);
    let below = Rect { y: body.bottom(), height: pinned, ..area };
    if let Some(pin) = pin {
        draw_pin(pin, context, log, (logs.of(context), below), buffer, hits);
    }
    if status == 1 {
        let row = Rect { y: area.bottom() - 1, height: 1, ..area };
        put(&status_line(logs, context, log), row, Side::Left, context.glyphs, buffer);
    }
}

struct Body<'a> {
    logs: &'a Logs,
    context: &'a Context<'a>,
    log: &'a Log,
    build: Option<&'a Build>,
}

impl Body<'_> {
    fn draw(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let (logs, log, height) = (self.logs, self.log, usize::from(area.height));
        let gutter = self.gutter(area.width);
        let room = usize::from(area.width).saturating_sub(gutter.width() + 1).max(1);
        logs.size.set((room, height));
        let lay = logs.lay(log);
        let top = match logs.tail {
            Tail::Follow => lay.bottom(),
            Tail::Hold => lay.showing(logs.top.get(), logs.cursor),
        };
        let Some(top) = top else {
            let text = if logs.shown().len(log) == 0 && log.lines().is_empty() {
                "nothing was written yet"
            } else {
                "nothing matches"
            };
            put(&Line::styled(text, self.context.theme.dim), area, Side::Left, self.context.glyphs, buffer);
            return;
        };
        logs.top.set(top);
        let (first, last) = logs.selection();
        for (row, y) in lay.screen(top).iter().zip(area.y..) {
            let place = Rect { y, height: 1, ..area };
            self.row(row, &gutter, place, buffer);
            let number = row.spot.number;
            let is_selected = if logs.mark.is_some() {
                (first..=last).contains(&number)
            } else {
                logs.tail == Tail::Hold && number == logs.cursor
            };
            if is_selected {
                buffer.set_style(place, self.context.theme.selected);
            }
            hits.add(place, Target::Row(logs.shown().rank(log, number)));
        }
        let rows = logs.shown().len(log);
        let offset = logs.shown().rank(log, top.number);
        let style = (self.context.theme, self.context.glyphs);
        scroll_bar(area, offset, height.min(rows), rows, style, buffer);
    }

    fn gutter(&self, width: u16) -> Gutter {
        let times = match self.logs.times {
            Times::Off => 0,
            Times::Relative | Times::Absolute if width < 30 => 0,
            Times::Relative => 8,
            Times::Absolute => 9,
        };
        let widest = WIDEST_STEP.min(usize::from(width) / 5);
        let step = match (self.logs.step, self.build) {
            (None, Some(build)) if widest > 3 => {
                // A stage's longest place is that of its last step.
                let last = build.stages().values().filter_map(|stage| build.step(*stage.steps.last()?));
                last.map(|step| self::width(&step.place())).max().unwrap_or(0).min(widest) + 1
            }
            (Some(_) | None, _) => 0,
        };
        Gutter { times, step }
    }

    fn row(&self, row: &Row, gutter: &Gutter, area: Rect, buffer: &mut Buffer) {
        let (context, Some(line)) = (self.context, line(self.log, row.spot.number)) else { return };
        let right = area.right();
        let mut x = area.x;
        if row.spot.row == 0 {
            let time = self.time(line);
            buffer.set_stringn(x, area.y, time, gutter.times, context.theme.dim);
            x = x.saturating_add(cells(gutter.times)).min(right);
            if let Some(id) = line.step.filter(|_| gutter.step > 0) {
                let place = self.build.and_then(|build| build.step(id)).map(crate::state::Step::place);
                let room = (gutter.step - 1).min(usize::from(right - x));
                let place = place.unwrap_or_default();
                let place = clip(&harmless(&place), room, context.glyphs.ellipsis).into_owned();
                buffer.set_stringn(x, area.y, place, room, context.theme.series(stage_number(id)));
            }
        }
        x = area.x.saturating_add(cells(gutter.width() - GAP)).min(right);
        let (sign, style) = match line.stream {
            Stream::Stdout => (context.glyphs.trunk, context.theme.dim),
            Stream::Stderr => (context.glyphs.critical, context.theme.warn),
        };
        let (_, y) = buffer.set_stringn(x, area.y, sign, usize::from(right - x), style);
        let x = x.saturating_add(cells(GAP + row.blank)).min(right);
        self.text(row, line, (x, y, right), buffer);
    }

    fn time(&self, line: &LogLine) -> String {
        match (self.logs.times, self.build) {
            (Times::Off, _) => String::new(),
            (Times::Absolute, Some(build)) => {
                let since = i64::try_from(line.at).unwrap_or(i64::MAX).saturating_mul(1000);
                time_of_day(build.started().saturating_add(since))
            }
            (Times::Relative, _) | (Times::Absolute, None) => format!("{:>7}", span(line.at)),
        }
    }

    /// The text of a row, with what the filter finds in it.
    fn text(&self, row: &Row, line: &LogLine, (x, y, right): (u16, u16, u16), buffer: &mut Buffer) {
        let (theme, text) = (self.context.theme, shown(line));
        let plain = if line.step.is_none() { theme.warn } else { theme.text };
        let mut x = x;
        let mut write = |from: usize, to: usize, style: Style| {
            // What says how much was cut is none of the line's text.
            let end = line.text.len();
            for (from, to, style) in [(from, to.min(end), style), (from.max(end), to, theme.warn)] {
                if from < to {
                    let room = usize::from(right.saturating_sub(x));
                    x = buffer.set_stringn(x, y, &text[from..to], room, style).0;
                }
            }
        };
        let mut at = row.range.start;
        let found = if self.logs.filter.is_empty() { Vec::new() } else { self.logs.filter.found(&line.text) };
        for (from, to) in found {
            let (from, to) = (from.clamp(at, row.range.end), to.clamp(at, row.range.end));
            write(at, from, plain);
            write(from, to, theme.found);
            at = to;
        }
        write(at, row.range.end, plain);
    }
}

/// What stands before the text.
struct Gutter {
    times: usize,
    step: usize,
}

/// The sign of the stream and the space after it.
const GAP: usize = 2;

impl Gutter {
    fn width(&self) -> usize {
        self.times + self.step + GAP
    }
}

fn cells(width: usize) -> u16 {
    u16::try_from(width).unwrap_or(u16::MAX)
}

fn stage_number(step: farm_model::StepId) -> usize {
    usize::try_from(step.stage.0).unwrap_or_default()
}

fn draw_pin(
    pin: &Pin,
    context: &Context<'_>,
    log: &Log,
    (build, area): (Option<&Build>, Rect),
    buffer: &mut Buffer,
    hits: &mut Hits,
) {
    let (theme, glyphs) = (context.theme, context.glyphs);
    let Some(step) = build.and_then(|build| build.step(pin.failure.step)) else { return };
    let mut rows = area.rows();
    let Some(head) = rows.next() else { return };
    let (at, of) = pin.of;
    let name = crate::view::text::first_line(&step.planned.name);
    let how = step.exit.as_ref().map(|exit| format!(": {exit}")).unwrap_or_default();
    let count = if of > 1 { format!(" {}/{of}", at + 1) } else { String::new() };
    let text = format!("{} failed{count} [{}] {name}{how} ", glyphs.failed, harmless(&step.place()));
    buffer.set_string(head.x, head.y, glyphs.rule.repeat(usize::from(head.width)), theme.bad);
    put(&Line::styled(text, theme.bad), head, Side::Left, glyphs, buffer);
    hits.add(area, Target::Part(0));
    let room = usize::from(area.height.saturating_sub(1));
    let skip = pin.lines.len().saturating_sub(room);
    for (number, row) in pin.lines[skip..].iter().zip(rows) {
        let Some(line) = line(log, *number) else { continue };
        let spans =
            vec![Span::styled(format!("{} ", glyphs.trunk), theme.bad), Span::raw(line.text.as_str())];
        put(&Line::from(spans), row, Side::Left, glyphs, buffer);
    }
}

fn status_line(logs: &Logs, context: &Context<'_>, log: &Log) -> Line<'static> {
    let theme = context.theme;
    let mut parts = vec![format!("{} lines", logs.shown().len(log))];
    if log.dropped() > 0 {
        parts.push(format!("{} older ones dropped", log.dropped()));
    }
    parts.push(if logs.step.is_some() { "one step" } else { "all steps" }.to_owned());
    match logs.wrap {
        Wrap::On => parts.push("wrapped".to_owned()),
        Wrap::Off(0) => parts.push("not wrapped".to_owned()),
        Wrap::Off(skipped) => parts.push(format!("from column {}", skipped + 1)),
    }
    if logs.mark.is_some() {
        parts.push("selecting".to_owned());
    }
    let (sign, tail) = match logs.tail {
        Tail::Follow => (context.glyphs.down, "follows "),
        Tail::Hold => (" ", "stands  "),
    };
    let mut spans = vec![
        Span::styled(format!("{sign} {tail}"), if sign == " " { theme.dim } else { theme.running }),
        Span::styled(parts.join(", "), theme.dim),
    ];
    if !logs.filter.is_empty() {
        let more = if logs.is_searched { "" } else { " so far" };
        let only = if logs.sieve == Sieve::Only { " (only these)" } else { "" };
        let text = format!("  `{}` in {}{more}{only}", logs.filter.as_str(), logs.found.len(log));
        spans.push(Span::styled(harmless(&text).into_owned(), theme.warn));
    }
    Line::from(spans)
}
