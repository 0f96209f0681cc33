//! How fast a store grows, and when it is full.

use std::collections::VecDeque;

use farm_model::event::StoreLoad;

/// What becomes of a store if it goes on as of late.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Forecast {
    /// There are too few samples to say.
    Unknown,
    /// It does not grow.
    Steady,
    /// It grows.
    Grows {
        /// Bytes a minute.
        rate: u64,
        /// Microseconds until it is at its limit, and is pruned; none without a limit.
        to_limit: Option<u64>,
        /// Microseconds until its disk is full.
        to_full: u64,
    },
}

/// What a store holds in all.
pub(super) fn total(load: &StoreLoad) -> u64 {
    load.rows.iter().fold(0, |sum, row| sum.saturating_add(row.bytes))
}

/// Looks at the samples since the store was last pruned, with their times in nanoseconds.
pub(super) fn forecast(samples: &VecDeque<(i64, StoreLoad)>) -> Forecast {
    let Some((end, newest)) = samples.back() else { return Forecast::Unknown };
    let mut first = (*end, total(newest));
    for (time, load) in samples.iter().rev().skip(1) {
        let bytes = total(load);
        if bytes > first.1 {
            break;
        }
        first = (*time, bytes);
    }
    let seconds = u64::try_from(end.saturating_sub(first.0) / 1_000_000_000).unwrap_or(0);
    if seconds == 0 {
        return Forecast::Unknown;
    }
    let grown = total(newest).saturating_sub(first.1);
    if grown == 0 {
        return Forecast::Steady;
    }
    let until = |bytes: u64| {
        let micros = u128::from(bytes) * u128::from(seconds) * 1_000_000 / u128::from(grown);
        u64::try_from(micros).unwrap_or(u64::MAX)
    };
    let to_limit = newest.limit.map(|limit| until(limit.saturating_sub(total(newest))));
    Forecast::Grows { rate: grown.saturating_mul(60) / seconds, to_limit, to_full: until(newest.free) }
}

#[cfg(test)]
mod tests {
    use farm_model::event::StoreRow;

    use super::*;

    fn samples(bytes: &[u64]) -> VecDeque<(i64, StoreLoad)> {
        let row = |bytes| StoreRow { kind: "layers".into(), count: 1, bytes, reclaimable: 0 };
        let load = |bytes| StoreLoad {
            rows: vec![row(bytes)],
            free: 6000,
            limit: Some(1000),
            ..StoreLoad::default()
        };
        (0..).zip(bytes).map(|(at, bytes)| (at * 60_000_000_000, load(*bytes))).collect()
    }

    #[test]
    fn a_store_is_full_when_it_goes_on_growing() {
        assert_eq!(forecast(&samples(&[])), Forecast::Unknown);
        assert_eq!(forecast(&samples(&[7])), Forecast::Unknown);
        assert_eq!(forecast(&samples(&[7, 7, 7])), Forecast::Steady);
        let minute = 60_000_000;
        let grows = Forecast::Grows { rate: 100, to_limit: Some(5 * minute), to_full: 60 * minute };
        assert_eq!(forecast(&samples(&[300, 400, 500])), grows);
        // Only what came after it was pruned tells how it grows.
        assert_eq!(forecast(&samples(&[900, 400, 500])), grows);
        let over = Forecast::Grows { rate: 1000, to_limit: Some(0), to_full: 6 * minute };
        assert_eq!(forecast(&samples(&[300, 1300])), over);
    }
}
