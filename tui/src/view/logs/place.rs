//! Where in a log the screen stands, in rows of the screen. Only lines that are passed by are measured, so that a long log
//! scrolls as fast as a short one.

use std::borrow::Cow;
use std::ops::Range;

use super::index::{Index, line};
use super::wrap;
use crate::state::{Log, LogLine};
use crate::view::text::size;

/// Whether long lines break or are scrolled sideways.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Wrap {
    /// They break.
    #[default]
    On,
    /// So many columns are scrolled away.
    Off(usize),
}

/// A row of a line.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Spot {
    /// The line.
    pub(super) number: u64,
    /// Which of its rows.
    pub(super) row: usize,
}

/// A row that is drawn.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Row {
    /// Where it is.
    pub(super) spot: Spot,
    /// Blank columns before the text.
    pub(super) blank: usize,
    /// Which part of the line's text.
    pub(super) range: Range<usize>,
}

/// The shown lines on a screen of some size.
#[derive(Clone, Copy)]
pub(super) struct Lay<'a> {
    /// The log.
    pub(super) log: &'a Log,
    /// Which of its lines are shown.
    pub(super) index: &'a Index,
    /// Whether they break.
    pub(super) wrap: Wrap,
    /// Columns for text.
    pub(super) columns: usize,
    /// Rows.
    pub(super) height: usize,
}

/// The text of a line as it is shown.
pub(super) fn shown(line: &LogLine) -> Cow<'_, str> {
    if line.cut == 0 {
        return Cow::Borrowed(&line.text);
    }
    Cow::Owned(format!("{} [{} more]", line.text, size(line.cut as u64)))
}

impl Lay<'_> {
    /// How many rows a line takes.
    pub(super) fn rows(&self, number: u64) -> usize {
        match (self.wrap, line(self.log, number)) {
            (Wrap::On, Some(line)) => wrap::count(&shown(line), self.columns),
            (Wrap::Off(_), _) | (_, None) => 1,
        }
    }

    /// The spot so many rows earlier; the first one where there are not so many.
    pub(super) fn up(&self, from: Spot, rows: usize) -> Spot {
        let mut spot = from;
        let mut left = rows;
        loop {
            if spot.row >= left {
                return Spot { row: spot.row - left, ..spot };
            }
            left -= spot.row;
            let rank = self.index.rank(self.log, spot.number);
            let before = rank.checked_sub(1).and_then(|rank| self.index.nth(self.log, rank));
            let Some(number) = before else { return Spot { row: 0, ..spot } };
            // One row up is the last row of the line before.
            spot = Spot { number, row: self.rows(number) - 1 };
            left -= 1;
        }
    }

    /// The spot so many rows later; the last row where there are not so many.
    pub(super) fn down(&self, from: Spot, rows: usize) -> Spot {
        let mut spot = from;
        let mut left = rows;
        loop {
            let behind = self.rows(spot.number).saturating_sub(spot.row + 1);
            if behind >= left {
                return Spot { row: spot.row + left, ..spot };
            }
            left -= behind;
            let rank = self.index.rank(self.log, spot.number);
            let Some(number) = self.index.nth(self.log, rank + 1) else {
                return Spot { row: spot.row + behind, ..spot };
            };
            (spot, left) = (Spot { number, row: 0 }, left - 1);
        }
    }

    /// The first row of the last screen.
    pub(super) fn bottom(&self) -> Option<Spot> {
        let number = self.index.last(self.log)?;
        let last = Spot { number, row: self.rows(number) - 1 };
        Some(self.up(last, self.height.saturating_sub(1)))
    }

    /// Where the screen begins so that it is full and shows a line, as near to `top` as can be.
    pub(super) fn showing(&self, top: Spot, cursor: u64) -> Option<Spot> {
        let bottom = self.bottom()?;
        let number = self.index.near(self.log, top.number)?;
        let row = if number == top.number { top.row.min(self.rows(number) - 1) } else { 0 };
        let mut top = Spot { number, row }.min(bottom);
        if cursor < top.number {
            top = Spot { number: cursor, row: 0 };
        }
        let rows = self.rows(cursor);
        let last = Spot { number: cursor, row: rows - 1 };
        // Of a line that is taller than the screen any part may be shown.
        let lowest = if rows >= self.height { Spot { number: cursor, row: 0 } } else { last };
        if self.down(top, self.height.saturating_sub(1)) < lowest {
            top = self.up(last, self.height.saturating_sub(1)).min(Spot { number: cursor, row: 0 });
        }
        Some(top.min(bottom))
    }

    /// The rows that are on the screen when it begins at a spot.
    pub(super) fn screen(&self, top: Spot) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.height);
        let mut next = Some(top.number);
        while let Some(number) = next.filter(|_| rows.len() < self.height) {
            if let Some(line) = line(self.log, number) {
                let skip = if number == top.number { top.row } else { 0 };
                self.rows_of(number, &shown(line), skip, &mut rows);
            }
            let rank = self.index.rank(self.log, number);
            next = self.index.nth(self.log, rank + 1);
        }
        rows.truncate(self.height);
        rows
    }

    fn rows_of(&self, number: u64, text: &str, skip: usize, rows: &mut Vec<Row>) {
        match self.wrap {
            Wrap::On => {
                let ranges = wrap::rows(text, self.columns).into_iter().enumerate().skip(skip);
                let row = |(row, range)| Row { spot: Spot { number, row }, blank: 0, range };
                rows.extend(ranges.take(self.height - rows.len()).map(row));
            }
            Wrap::Off(skipped) => {
                let (blank, range) = wrap::window(text, skipped, self.columns);
                rows.push(Row { spot: Spot { number, row: 0 }, blank, range });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::log_of;
    use super::*;

    const fn spot(number: u64, row: usize) -> Spot {
        Spot { number, row }
    }

    fn check(test: impl Fn(Lay<'_>)) {
        let log = log_of(["aaaaaa", "b", "cccccccc", "d", "e"]);
        test(Lay { log: &log, index: &Index::all(), wrap: Wrap::On, columns: 3, height: 4 });
    }

    #[test]
    fn walking_counts_the_rows_of_broken_lines() {
        check(|lay| {
            // a a b c c c d e
            assert_eq!(lay.down(spot(0, 0), 4), spot(2, 1));
            assert_eq!(lay.up(spot(2, 1), 4), spot(0, 0));
            assert_eq!((lay.down(spot(0, 1), 99), lay.up(spot(3, 0), 99)), (spot(4, 0), spot(0, 0)));
            for rows in 0..8 {
                assert_eq!(lay.up(lay.down(spot(0, 0), rows), rows), spot(0, 0));
            }
        });
    }

    #[test]
    fn the_screen_is_full_and_the_cursor_on_it() {
        check(|lay| {
            assert_eq!(lay.bottom(), Some(spot(2, 1)));
            assert_eq!(lay.showing(spot(4, 0), 4), Some(spot(2, 1)));
            assert_eq!(lay.showing(spot(0, 0), 2), Some(spot(1, 0)));
            assert_eq!(lay.showing(spot(2, 1), 0), Some(spot(0, 0)));
            let spots: Vec<Spot> = lay.screen(spot(0, 1)).into_iter().map(|row| row.spot).collect();
            assert_eq!(spots, [spot(0, 1), spot(1, 0), spot(2, 0), spot(2, 1)]);
        });
    }

    #[test]
    fn a_line_taller_than_the_screen_can_be_read() {
        let log = log_of(["x".repeat(30).as_str(), "end"]);
        let lay = Lay { log: &log, index: &Index::all(), wrap: Wrap::On, columns: 3, height: 4 };
        for row in 0..7 {
            assert_eq!(lay.showing(spot(0, row), 0), Some(spot(0, row)));
        }
        assert_eq!(lay.showing(spot(0, 2), 1), Some(spot(0, 7)));
    }

    #[test]
    fn nothing_shown_is_no_place() {
        let log = Log::default();
        let lay = Lay { log: &log, index: &Index::all(), wrap: Wrap::On, columns: 0, height: 0 };
        assert_eq!((lay.bottom(), lay.showing(spot(3, 3), 2)), (None, None));
        assert!(lay.screen(spot(0, 0)).is_empty());
    }
}
