//! Directory records that are known to be here with all records and blobs below them.
//!
//! A tree that differs from an earlier one in one file shares all directories but those on the way to it, so that looking
//! for what it lacks costs those few. What is known is forgotten whenever bytes may go: a walk that began before that adds
//! nothing any more.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farm_model::DirectoryDigest;

/// How many are remembered; then it begins anew.
const MOST: usize = 1 << 16;

#[derive(Default)]
pub(crate) struct WholeRecords(Mutex<Known>);

#[derive(Default)]
struct Known {
    era: u64,
    records: HashSet<[u8; 16]>,
}

/// What a walk goes by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Era(u64);

impl WholeRecords {
    pub(crate) fn era(&self) -> Era {
        Era(self.lock().era)
    }

    pub(crate) fn has(&self, record: &DirectoryDigest) -> bool {
        self.lock().records.contains(&part(record))
    }

    /// Adds what a walk found whole that began in `era`, if that is not over.
    pub(crate) fn add(&self, era: Era, records: &[DirectoryDigest]) {
        let mut known = self.lock();
        if known.era != era.0 {
            return;
        }
        if known.records.len() + records.len() > MOST {
            known.records = HashSet::new();
        }
        known.records.extend(records.iter().take(MOST).map(part));
    }

    /// Forgets everything: bytes are about to go, or are gone.
    pub(crate) fn forget(&self) {
        let mut known = self.lock();
        known.era += 1;
        known.records = HashSet::new();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Half of a digest, which is more than enough against chance; nobody can choose it, since records are hashed here.
fn part(record: &DirectoryDigest) -> [u8; 16] {
    let mut part = [0; 16];
    part.copy_from_slice(&record.as_bytes()[..16]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_before_bytes_went_is_not_believed() {
        let (whole, record) = (WholeRecords::default(), DirectoryDigest([1; 32]));
        let era = whole.era();
        whole.add(era, &[record]);
        assert!(whole.has(&record));
        whole.forget();
        assert!(!whole.has(&record));
        whole.add(era, &[record]);
        assert!(!whole.has(&record), "the walk began before");
        whole.add(whole.era(), &[record]);
        assert!(whole.has(&record));
    }
}
