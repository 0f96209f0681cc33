//! What the cache did for whom: by image and stage.

use std::collections::BTreeMap;

use super::step::{Lookup, Step};

/// Images and stages that are kept.
const MOST_CELLS: usize = 4096;

/// What the cache did for one stage of one image.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheCell {
    /// Steps whose result it had.
    pub hits: u64,
    /// Steps whose result it had not.
    pub misses: u64,
    /// Of these, steps that another build was doing already.
    pub shared: u64,
    /// Bytes of layers that workers fetched from each other.
    pub fetched: u64,
    /// Time that hits saved.
    pub saved_micros: u64,
    /// Bytes that hits saved.
    pub saved_bytes: u64,
    /// When something was last counted, in nanoseconds since the Unix epoch.
    pub last: i64,
}

impl CacheCell {
    /// Steps that were looked up.
    pub fn lookups(&self) -> u64 {
        self.hits + self.misses
    }

    /// The part of look-ups that were hits, from 0 to 1; none when there was none.
    pub fn hit_rate(&self) -> Option<f64> {
        rate(self.hits, self.lookups())
    }
}

/// A part of a whole, from 0 to 1; none of nothing.
pub(super) fn rate(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What the cache did, by image and stage.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    cells: BTreeMap<(String, String), CacheCell>,
}

impl Cache {
    /// The cells, by image and stage.
    pub fn cells(&self) -> &BTreeMap<(String, String), CacheCell> {
        &self.cells
    }

    /// Counts a step whose look-up has just become known.
    pub(super) fn count(&mut self, image: &str, step: &Step, time: i64) {
        let cell = self.cell(image, &step.planned.stage, time);
        match step.lookup {
            Lookup::Unknown => {}
            Lookup::Hit { micros, bytes } => {
                cell.hits += 1;
                cell.saved_micros = cell.saved_micros.saturating_add(micros);
                cell.saved_bytes = cell.saved_bytes.saturating_add(bytes);
            }
            Lookup::Missed => cell.misses += 1,
            // It was counted as a miss when that became known.
            Lookup::Shared { .. } => cell.shared += 1,
        }
    }

    /// Counts bytes that were fetched for a step.
    pub(super) fn fetched(&mut self, image: &str, stage: &str, bytes: u64, time: i64) {
        let cell = self.cell(image, stage, time);
        cell.fetched = cell.fetched.saturating_add(bytes);
    }

    fn cell(&mut self, image: &str, stage: &str, time: i64) -> &mut CacheCell {
        let key = (image.to_owned(), stage.to_owned());
        if self.cells.len() >= MOST_CELLS && !self.cells.contains_key(&key) {
            let oldest = self.cells.iter().min_by_key(|(_, cell)| cell.last).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.cells.remove(&oldest));
        }
        let cell = self.cells.entry(key).or_default();
        cell.last = cell.last.max(time);
        cell
    }
}
