//! One worker on one line, for many workers and small terminals.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::axis::Axis;
use super::gantt::use_over_time;
use super::load::{Meter, spark};
use crate::app::screen::Context;
use crate::state::text::harmless;
use crate::state::{Standing, Worker};
use crate::view::glyphs::Glyphs;
use crate::view::table::{Side, put};
use crate::view::text::{ago, clip, percent, size, width};

/// Cells of the parts of a line behind the name: running and slots, processors, memory, network, disk.
const PARTS: [u16; 5] = [7, 5, 5, 9, 5];

/// How many columns the text takes; the rest is time.
pub(super) fn panel(columns: u16) -> u16 {
    let wanted = match columns {
        0..40 => columns,
        40..70 => 30,
        70..120 => 42,
        120.. => 58,
    };
    wanted.min(columns)
}

/// The name of a worker in at most so many cells.
pub(super) fn name(worker: &Worker, room: usize, glyphs: &Glyphs) -> String {
    clip(&harmless(&worker.facts.worker.0), room, glyphs.ellipsis).into_owned()
}

/// Whether it takes work, as a sign, in words and as a colour.
pub(super) fn standing(worker: &Worker, context: &Context<'_>) -> (&'static str, String, Style) {
    let (theme, glyphs) = (context.theme, context.glyphs);
    match worker.standing {
        Standing::Up if worker.running() > 0 => (glyphs.running, String::new(), theme.running),
        Standing::Up => (glyphs.waiting, String::new(), theme.dim),
        Standing::Draining => (glyphs.warning, "draining".to_owned(), theme.warn),
        Standing::Lost { since } => {
            (glyphs.failed, format!("lost {} ago", ago(context.now, since)), theme.bad)
        }
    }
}

/// Draws the line: words on the left, the use of its slots over time on the right.
pub(super) fn draw(
    worker: &Worker,
    context: &Context<'_>,
    axis: &Axis,
    (left, right): (Rect, Rect),
    buffer: &mut Buffer,
) {
    let (theme, glyphs) = (context.theme, context.glyphs);
    let (sign, word, style) = standing(worker, context);
    let parts: u16 = PARTS.iter().sum();
    // Names give way last.
    let shown = if left.width >= parts + 14 { PARTS.len() } else { usize::from(left.width >= 26) * 3 };
    let used: u16 = PARTS[..shown].iter().sum();
    let room = usize::from(left.width.saturating_sub(used + 2));
    let name = name(worker, room, glyphs);
    let pad = room.saturating_sub(width(&name));
    let mut spans = vec![
        Span::styled(format!("{sign} "), style),
        Span::styled(name, theme.text),
        Span::raw(" ".repeat(pad)),
    ];
    if !word.is_empty() && shown > 0 {
        let rest = usize::from(used);
        spans.push(Span::styled(format!(" {word:<width$}", width = rest.saturating_sub(1)), style));
    } else {
        spans.extend(numbers(worker, context).into_iter().take(shown));
    }
    put(&Line::from(spans), left, Side::Left, glyphs, buffer);
    let text = spark(&use_over_time(worker, axis), glyphs);
    put(&Line::styled(text, theme.running), Rect { height: 1, ..right }, Side::Left, glyphs, buffer);
}

fn numbers(worker: &Worker, context: &Context<'_>) -> Vec<Span<'static>> {
    let theme = context.theme;
    let slots = format!("{}/{}", worker.running(), worker.facts.slots);
    let mut spans = vec![Span::styled(format!("{slots:>7}"), theme.accent)];
    let Some(load) = worker.load() else { return spans };
    for meter in Meter::ALL {
        spans.push(match meter.part(load) {
            Some(part) => Span::styled(format!("{:>5}", percent(part)), theme.heat(1.0 - part)),
            None => Span::styled(format!("{:>9}", size(meter.used(load).0) + "/s"), theme.text),
        });
    }
    spans
}
