//! The time line above the lanes: which column stands for which time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::screen::Context;
use crate::view::text::{span, time_of_day};

/// How much time the screen can show, in seconds.
pub(super) const ZOOMS: [i64; 9] = [15, 30, 60, 120, 300, 900, 1800, 3600, 14_400];
/// Columns between two marks.
const APART: u16 = 16;

/// Which columns stand for which times, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// What is now; nothing lies behind it.
    pub(super) now: i64,
    start: i64,
    end: i64,
    columns: u16,
}

impl Axis {
    /// So many seconds up to `end`.
    pub(super) fn new(now: i64, end: i64, seconds: i64, columns: u16) -> Self {
        let start = end.saturating_sub(seconds.saturating_mul(1_000_000_000));
        Self { now, start, end, columns }
    }

    /// How many columns it has.
    pub(super) fn columns(&self) -> u16 {
        self.columns
    }

    /// The columns from one time to another, at least one; none when they lie outside.
    pub(super) fn place(&self, from: i64, to: i64) -> Option<(u16, u16)> {
        if to < self.start || from >= self.end || self.columns == 0 {
            return None;
        }
        let first = self.column(from.max(self.start));
        let last = self.column(to.min(self.end - 1).max(from.max(self.start)));
        Some((first, (last - first + 1).min(self.columns - first)))
    }

    /// The times that a column stands for.
    pub(super) fn times(&self, column: u16) -> (i64, i64) {
        let at = |column: i64| {
            let part =
                i128::from(self.end - self.start) * i128::from(column) / i128::from(self.columns.max(1));
            self.start.saturating_add(i64::try_from(part).unwrap_or(i64::MAX))
        };
        (at(column.into()), at(i64::from(column) + 1))
    }

    fn column(&self, time: i64) -> u16 {
        let whole = i128::from(self.end - self.start).max(1);
        let part = i128::from(time - self.start) * i128::from(self.columns) / whole;
        u16::try_from(part).unwrap_or(0).min(self.columns - 1)
    }

    /// Draws marks: how long ago, or the time of day where that is what one wants to know.
    pub(super) fn draw(&self, area: Rect, context: &Context<'_>, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        if area.is_empty() {
            return;
        }
        let mut left = area.width;
        while left >= APART {
            let time = self.times(left).0;
            let text = if self.end < self.now {
                time_of_day(time)
            } else if left == self.columns {
                "now".to_owned()
            } else {
                format!("-{}", span((self.now - time).max(0).unsigned_abs() / 1000))
            };
            let text = format!("{text}{}", context.glyphs.trunk);
            let wide = u16::try_from(text.chars().count()).unwrap_or(left).min(left);
            buffer.set_stringn(area.x + left - wide, area.y, &text, wide.into(), context.theme.dim);
            left -= APART;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_where_their_columns_say() {
        let axis = Axis::new(100_000_000_000, 100_000_000_000, 60, 30);
        assert_eq!(axis.place(0, 39_000_000_000), None);
        assert_eq!(axis.place(100_000_000_000, 101_000_000_000), None);
        assert_eq!(axis.place(0, 40_000_000_000), Some((0, 1)));
        assert_eq!(axis.place(50_000_000_000, 54_000_000_000), Some((5, 3)));
        assert_eq!(axis.place(99_000_000_000, i64::MAX), Some((29, 1)));
        assert_eq!(axis.times(5), (50_000_000_000, 52_000_000_000));
        for column in 0..30 {
            let (from, to) = axis.times(column);
            assert_eq!(axis.place(from, to - 1), Some((column, 1)));
        }
    }
}
