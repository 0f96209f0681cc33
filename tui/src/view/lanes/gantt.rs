//! The slots of one worker over time.

use farm_model::{BuildId, StepId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::axis::Axis;
use crate::app::screen::{Context, Hits, Target};
use crate::state::{Span, SpanEnd, Worker};
use crate::view::text::{clip, first_line};

/// A row a slot, with the names of steps where there is room.
pub(super) struct Gantt<'a> {
    pub(super) worker: &'a Worker,
    pub(super) context: &'a Context<'a>,
    pub(super) axis: &'a Axis,
    pub(super) chosen: Option<(BuildId, StepId)>,
}

impl Gantt<'_> {
    /// Draws as many slots as there are rows.
    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let area = area.intersection(buffer.area);
        let rows = usize::from(area.height);
        let lanes = self.worker.lanes().min(rows);
        for y in area.y..area.y + u16::try_from(lanes).unwrap_or(0) {
            let rest = self.context.glyphs.bar_rest.repeat(area.width.into());
            buffer.set_stringn(area.x, y, rest, area.width.into(), self.context.theme.dim);
        }
        for span in self.worker.spans.iter().filter(|span| span.slot < rows) {
            self.span(span, area, buffer, hits);
        }
        let hidden = self.worker.lanes().saturating_sub(rows);
        if hidden > 0 && area.width > 12 && rows > 0 {
            let text = format!("+{hidden} more");
            let wide = u16::try_from(text.len()).unwrap_or(0);
            buffer.set_string(area.right() - wide, area.bottom() - 1, text, self.context.theme.dim);
        }
    }

    fn span(&self, span: &Span, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let end = span.end.map_or(self.axis.now, |(time, _)| time);
        let Some((column, columns)) = self.axis.place(span.start, end) else { return };
        let Ok(slot) = u16::try_from(span.slot) else { return };
        let place = Rect::new(area.x + column, area.y + slot, columns, 1).intersection(area);
        if place.is_empty() {
            return;
        }
        let glyphs = self.context.glyphs;
        let sign = match span.end {
            None => glyphs.running,
            Some((_, SpanEnd::Done)) => glyphs.done,
            Some((_, SpanEnd::Failed)) => glyphs.failed,
            Some((_, SpanEnd::Given)) => glyphs.cancelled,
        };
        let text = if columns > 4 { format!("{sign} {}", self.name(span)) } else { sign.to_owned() };
        let text = clip(&text, place.width.into(), glyphs.ellipsis);
        let text = format!("{text:<width$}", width = usize::from(place.width));
        buffer.set_stringn(place.x, place.y, text, place.width.into(), self.style(span));
        hits.add(place, Target::Step(span.build, span.step));
    }

    fn name(&self, span: &Span) -> String {
        let step = self.context.build(span.build).and_then(|build| build.step(span.step));
        step.map_or_else(
            || format!("build {}", span.build),
            |step| first_line(&step.planned.name).into_owned(),
        )
    }

    fn style(&self, span: &Span) -> Style {
        let theme = self.context.theme;
        let style = match span.end {
            None => theme.running,
            Some((_, SpanEnd::Failed)) => theme.bad,
            Some((_, SpanEnd::Given)) => theme.dim,
            Some((_, SpanEnd::Done)) => theme
                .series(usize::try_from(span.step.stage.0).unwrap_or_default())
                .add_modifier(Modifier::DIM),
        };
        let style = style.add_modifier(Modifier::REVERSED);
        if self.chosen == Some((span.build, span.step)) { style.patch(theme.found) } else { style }
    }
}

/// How much of a worker's slots was in use in each column, from 0 to 1.
pub(super) fn use_over_time(worker: &Worker, axis: &Axis) -> Vec<f64> {
    let columns = usize::from(axis.columns());
    // Sums of nanoseconds in each column.
    let mut busy = vec![0_i64; columns];
    for span in &worker.spans {
        let end = span.end.map_or(axis.now, |(time, _)| time);
        let Some((first, count)) = axis.place(span.start, end) else { continue };
        for column in first..first + count {
            let (from, to) = axis.times(column);
            let overlap = end.min(to).saturating_sub(span.start.max(from)).max(0);
            busy[usize::from(column)] += overlap;
        }
    }
    let slots = i64::from(worker.facts.slots.max(1));
    let part = |(busy, column): (i64, u16)| {
        let (from, to) = axis.times(column);
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let part = busy as f64 / ((to - from).max(1) as f64 * slots as f64);
        part.min(1.0)
    };
    busy.into_iter().zip(0..).map(part).collect()
}
