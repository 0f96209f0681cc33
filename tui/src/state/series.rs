//! Numbers over time, in buckets of equal length, of which only so many are kept.

use std::collections::VecDeque;

/// A ring of buckets. Times are nanoseconds and may come a little out of order; what is older than the ring is dropped.
#[derive(Clone, Debug)]
pub struct Series<T> {
    length: i64,
    most: usize,
    /// The number of the newest bucket, since the epoch.
    newest: i64,
    buckets: VecDeque<T>,
}

impl<T: Clone + Default> Series<T> {
    /// `most` buckets of `seconds` each.
    pub fn new(seconds: u32, most: usize) -> Self {
        let length = i64::from(seconds.max(1)) * 1_000_000_000;
        Self { length, most: most.max(1), newest: i64::MIN, buckets: VecDeque::new() }
    }

    /// The bucket of a time; none when it is gone already.
    pub fn at(&mut self, time: i64) -> Option<&mut T> {
        let number = time.div_euclid(self.length);
        self.advance(number);
        let behind = usize::try_from(self.newest.checked_sub(number)?).ok()?;
        let index = self.buckets.len().checked_sub(1)?.checked_sub(behind)?;
        self.buckets.get_mut(index)
    }

    /// Has the ring reach up to a time, so that silence shows.
    pub fn reach(&mut self, time: i64) {
        self.advance(time.div_euclid(self.length));
    }

    /// The buckets, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.buckets.iter()
    }

    fn advance(&mut self, number: i64) {
        if self.buckets.is_empty() {
            self.newest = number;
            self.buckets.push_back(T::default());
            return;
        }
        let ahead = usize::try_from(number.saturating_sub(self.newest)).unwrap_or(0).min(self.most);
        for _ in 0..ahead {
            self.buckets.push_back(T::default());
        }
        self.newest = self.newest.max(number);
        let over = self.buckets.len().saturating_sub(self.most);
        self.buckets.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn buckets_follow_the_time_and_old_ones_go() {
        let mut series: Series<u32> = Series::new(1, 3);
        *series.at(10 * SECOND).unwrap() += 1;
        *series.at(11 * SECOND).unwrap() += 2;
        *series.at(10 * SECOND).unwrap() += 5;
        assert_eq!(series.iter().copied().collect::<Vec<_>>(), [6, 2]);
        series.reach(13 * SECOND);
        assert_eq!(series.iter().copied().collect::<Vec<_>>(), [2, 0, 0]);
        assert!(series.at(5 * SECOND).is_none());
        series.reach(i64::MAX);
        assert_eq!(series.iter().copied().collect::<Vec<_>>(), [0, 0, 0]);
    }
}
