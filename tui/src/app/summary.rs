//! The numbers at the top of every screen, gathered a few times a second.

use crate::app::screen::Context;
use crate::state::Totals;

/// How many values the line of hit rates has.
const SPARKS: usize = 24;

/// The numbers of a farm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Sums.
    pub totals: Totals,
    /// Workers that are up, draining and lost.
    pub workers: (usize, usize, usize),
    /// Slots in use and slots in all.
    pub slots: (usize, usize),
    /// The part of look-ups that were hits of late.
    pub hit_rate: Option<f64>,
    /// That part over time, the oldest first; none where nothing was looked up.
    pub hits: Vec<Option<f64>>,
    /// How long steps waited for a slot: the median, and what one in twenty exceeds.
    pub wait: Option<(u64, u64)>,
}

impl Summary {
    /// Gathers them.
    pub fn of(context: &Context<'_>) -> Self {
        let farm = context.farm;
        let ticks = farm.ticks().iter();
        let skip = ticks.len().saturating_sub(SPARKS);
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let part = |hits: u64, all: u64| (all > 0).then(|| hits as f64 / all as f64);
        Self {
            totals: farm.totals(),
            workers: farm.standings(),
            slots: farm.slots(),
            hit_rate: farm.hit_rate(),
            hits: ticks.skip(skip).map(|tick| part(tick.hits, tick.hits + tick.misses)).collect(),
            wait: farm.queue_wait(),
        }
    }
}
