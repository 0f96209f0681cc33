//! One worker on the screen: what it uses on the left, its slots over time on the right.

use farm_model::{BuildId, StepId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Density;
use super::axis::Axis;
use super::gantt::Gantt;
use super::load::{Meter, graph};
use super::row;
use crate::app::screen::{Context, Hits};
use crate::state::Worker;
use crate::view::table::{Side, put};

/// How a worker is laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    /// Rows of each worker.
    pub(super) height: usize,
    /// Columns of what it uses.
    pub(super) panel: u16,
    /// Meters beside each other; none on a line.
    meters: usize,
}

/// Slots that are shown of a worker at most.
const MOST_SLOTS: usize = 8;
/// The fewest columns and rows in which slots are shown.
const ROOM: (u16, u16) = (76, 12);

impl Shape {
    pub(super) fn of(density: Density, area: Rect, slots: usize) -> Self {
        let is_small = area.width < ROOM.0 || area.height < ROOM.1;
        if density == Density::Line || is_small {
            return Self { height: 1, panel: row::panel(area.width), meters: 0 };
        }
        if area.width >= 140 {
            return Self { height: slots.clamp(3, MOST_SLOTS), panel: 66, meters: 2 };
        }
        Self { height: slots.clamp(5, MOST_SLOTS), panel: 32, meters: 1 }
    }
}

/// A worker that is drawn.
pub(super) struct Drawn<'a> {
    pub(super) worker: &'a Worker,
    pub(super) context: &'a Context<'a>,
    pub(super) axis: &'a Axis,
    pub(super) chosen: Option<(BuildId, StepId)>,
    pub(super) shape: Shape,
}

impl Drawn<'_> {
    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let panel = self.shape.panel.min(area.width);
        let left = Rect { width: panel.saturating_sub(1), ..area };
        let right = Rect { x: area.x + panel, width: area.width - panel, ..area };
        if self.shape.meters == 0 {
            row::draw(self.worker, self.context, self.axis, (left, right), buffer);
            return;
        }
        self.meters(left, buffer);
        Gantt { worker: self.worker, context: self.context, axis: self.axis, chosen: self.chosen }
            .draw(right, buffer, hits);
    }

    fn meters(&self, area: Rect, buffer: &mut Buffer) {
        let Context { theme, glyphs, .. } = *self.context;
        let mut rows = area.rows();
        let Some(head) = rows.next() else { return };
        let (sign, word, style) = row::standing(self.worker, self.context);
        let running = format!(" {}/{}", self.worker.running(), self.worker.facts.slots);
        let name = row::name(self.worker, usize::from(area.width).saturating_sub(20), glyphs);
        let spans = vec![
            Span::styled(format!("{sign} "), style),
            Span::styled(name, theme.strong),
            Span::styled(running, theme.accent),
            Span::styled(format!(" {word}"), style),
        ];
        put(&Line::from(spans), head, Side::Left, glyphs, buffer);
        let across = u16::try_from(self.shape.meters).unwrap_or(1).max(1);
        let wide = area.width / across;
        for (pair, row) in Meter::ALL.chunks(self.shape.meters).zip(rows) {
            for (meter, x) in pair.iter().zip((row.x..row.right()).step_by(wide.max(1).into())) {
                let cell = Rect { x, width: wide, ..row }.intersection(row);
                let room = usize::from(cell.width).saturating_sub(1);
                let spans = graph(self.worker, *meter, room, (theme, glyphs));
                put(&Line::from(spans), cell, Side::Left, glyphs, buffer);
            }
        }
    }
}
