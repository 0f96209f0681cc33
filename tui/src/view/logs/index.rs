//! Which lines of a log are shown: all, or those that something selects, found once and kept as lines come and go.
//!
//! Lines are named by their number since the log began, which stays theirs when older lines are dropped.

use std::collections::VecDeque;

use crate::state::{Log, LogLine};

/// Lines that are looked at in one go, so that no key press waits for a long log.
const STRIDE: u64 = 200_000;

/// The numbers of the lines that are shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// None for all lines.
    selected: Option<VecDeque<u64>>,
    /// The number of the first line that was not looked at yet.
    upto: u64,
}

impl Index {
    /// Every line.
    pub(super) fn all() -> Self {
        Self::default()
    }

    /// Lines that will be selected.
    pub(super) fn some() -> Self {
        Self { selected: Some(VecDeque::new()), upto: 0 }
    }

    /// Looks at lines that came since, as far as it goes in one go. Says whether it looked at all of them.
    pub(super) fn update(&mut self, log: &Log, select: impl Fn(&LogLine) -> bool) -> bool {
        let Some(selected) = &mut self.selected else { return true };
        let first = log.dropped();
        if first + (log.lines().len() as u64) < self.upto {
            // The log begins anew.
            (self.upto, *selected) = (0, VecDeque::new());
        }
        while selected.front().is_some_and(|number| *number < first) {
            selected.pop_front();
        }
        let end = first + log.lines().len() as u64;
        let from = self.upto.max(first);
        let to = end.min(from.saturating_add(STRIDE));
        let range = offset(from, first)..offset(to, first);
        let found = log.lines().range(range).zip(from..).filter(|(line, _)| select(line));
        selected.extend(found.map(|(_, number)| number));
        self.upto = to;
        to == end
    }

    /// How many lines are shown.
    pub(super) fn len(&self, log: &Log) -> usize {
        self.selected.as_ref().map_or(log.lines().len(), VecDeque::len)
    }

    /// How many shown lines come before a line.
    pub(super) fn rank(&self, log: &Log, number: u64) -> usize {
        match &self.selected {
            None => offset(number, log.dropped()).min(log.lines().len()),
            Some(selected) => selected.partition_point(|known| *known < number),
        }
    }

    /// The shown line of this rank.
    pub(super) fn nth(&self, log: &Log, rank: usize) -> Option<u64> {
        match &self.selected {
            None => (rank < log.lines().len()).then(|| log.dropped() + rank as u64),
            Some(selected) => selected.get(rank).copied().filter(|number| *number >= log.dropped()),
        }
    }

    /// The last shown line.
    pub(super) fn last(&self, log: &Log) -> Option<u64> {
        self.nth(log, self.len(log).checked_sub(1)?)
    }

    /// The shown line that is this one or the next after it; the last one when there is none.
    pub(super) fn near(&self, log: &Log, number: u64) -> Option<u64> {
        self.nth(log, self.rank(log, number)).or_else(|| self.last(log))
    }

    /// The shown line that comes `by` lines later, or earlier; the first or last one where there are not so many.
    pub(super) fn step(&self, log: &Log, number: u64, by: i64) -> Option<u64> {
        let last = self.len(log).checked_sub(1)?;
        let by_lines = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let rank = self.rank(log, number);
        let rank = if by < 0 { rank.saturating_sub(by_lines) } else { rank.saturating_add(by_lines) };
        self.nth(log, rank.min(last))
    }
}

/// The line of a number, while it is kept.
pub(super) fn line(log: &Log, number: u64) -> Option<&LogLine> {
    log.lines().get(usize::try_from(number.checked_sub(log.dropped())?).ok()?)
}

fn offset(number: u64, first: u64) -> usize {
    usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tests::log_of;
    use super::*;

    #[test]
    fn all_lines_have_their_number_as_rank() {
        let (log, index) = (log_of(["a", "b", "c"]), Index::all());
        assert_eq!((index.len(&log), index.last(&log), index.rank(&log, 1)), (3, Some(2), 1));
        assert_eq!((index.step(&log, 1, -5), index.step(&log, 1, 5)), (Some(0), Some(2)));
        assert_eq!(Index::all().step(&Log::default(), 0, 1), None);
    }

    #[test]
    fn selected_lines_are_found_as_they_come() {
        let mut index = Index::some();
        let select = |line: &LogLine| line.text.contains('x');
        assert!(index.update(&log_of(["x", "b"]), select));
        let log = log_of(["x", "b", "cx", "d"]);
        assert!(index.update(&log, select));
        assert_eq!((index.nth(&log, 0), index.nth(&log, 1), index.len(&log)), (Some(0), Some(2), 2));
        assert_eq!((index.near(&log, 1), index.near(&log, 3)), (Some(2), Some(2)));
    }
}
