//! Durations of repeated runs of one thing.

use std::time::Duration;

/// At least nothing: an empty set has no median.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// In the order they were taken.
    pub fn in_order(&self) -> &[Duration] {
        &self.0
    }

    /// The middle one; of an even number, the mean of the two in the middle.
    pub fn median(&self) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort();
        let upper = *sorted.get(sorted.len() / 2)?;
        match sorted.len() % 2 {
            0 => Some((upper + sorted[sorted.len() / 2 - 1]) / 2),
            _ => Some(upper),
        }
    }

    /// The fastest, which the machine's other work has disturbed least.
    pub fn least(&self) -> Option<Duration> {
        self.0.iter().min().copied()
    }

    /// The slowest.
    pub fn most(&self) -> Option<Duration> {
        self.0.iter().max().copied()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<T: IntoIterator<Item = Duration>>(iterator: T) -> Self {
        Self(iterator.into_iter().collect())
    }
}

/// How many times `other` goes into `duration`; nothing if `other` took no time.
pub fn ratio(duration: Duration, other: Duration) -> Option<f64> {
    (!other.is_zero()).then(|| duration.as_secs_f64() / other.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(millis: &[u64]) -> Samples {
        millis.iter().map(|millis| Duration::from_millis(*millis)).collect()
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(samples(&[9, 1, 5]).median(), Some(Duration::from_millis(5)));
        assert_eq!(samples(&[9, 1, 5, 6]).median(), Some(Duration::from_micros(5500)));
        assert_eq!(samples(&[]).median(), None);
    }

    #[test]
    fn nothing_is_divided_by_no_time() {
        assert_eq!(ratio(Duration::from_secs(1), Duration::ZERO), None);
        assert_eq!(ratio(Duration::from_secs(1), Duration::from_secs(2)), Some(0.5));
    }
}
