//! Decoded directory records in memory, bounded by their number of entries.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farm_model::DirectoryDigest;
use farm_tree::Entries;

/// Entries in one of the two generations; an entry takes a few hundred bytes.
const GENERATION_ENTRIES: usize = 40_000;

/// Two generations: what is used moves to the young one, and when that is full the old one is forgotten.
#[derive(Default)]
pub(crate) struct RecordCache {
    generations: Mutex<Generations>,
    /// Whether anybody looked since [`RecordCache::rest`].
    used: AtomicBool,
}

#[derive(Default)]
struct Generations {
    young: HashMap<DirectoryDigest, Arc<Entries>>,
    old: HashMap<DirectoryDigest, Arc<Entries>>,
    weight: usize,
}

impl RecordCache {
    pub(crate) fn get(&self, digest: &DirectoryDigest) -> Option<Arc<Entries>> {
        self.used.store(true, Ordering::Relaxed);
        let mut generations = self.lock();
        if let Some(entries) = generations.young.get(digest) {
            return Some(Arc::clone(entries));
        }
        let entries = generations.old.remove(digest)?;
        generations.insert(*digest, Arc::clone(&entries));
        Some(entries)
    }

    pub(crate) fn insert(&self, digest: DirectoryDigest, entries: Arc<Entries>) {
        self.lock().insert(digest, entries);
    }

    pub(crate) fn remove(&self, digest: &DirectoryDigest) {
        let mut generations = self.lock();
        generations.young.remove(digest);
        generations.old.remove(digest);
    }

    /// Gives the memory back if nobody has looked since the last call.
    pub(crate) fn rest(&self) {
        if !self.used.swap(false, Ordering::Relaxed) {
            *self.lock() = Generations::default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn insert(&mut self, digest: DirectoryDigest, entries: Arc<Entries>) {
        let weight = entries.len() + 1;
        if self.weight + weight > GENERATION_ENTRIES {
            self.old = mem::take(&mut self.young);
            self.weight = 0;
        }
        if self.young.insert(digest, entries).is_none() {
            self.weight += weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> DirectoryDigest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        DirectoryDigest(bytes)
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let cache = RecordCache::default();
        for number in 0..GENERATION_ENTRIES * 3 {
            cache.insert(digest(number), Arc::default());
            assert!(cache.get(&digest(0)).is_some());
        }
        assert!(cache.get(&digest(1)).is_none());
        let generations = cache.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_ENTRIES);
    }

    #[test]
    fn what_nobody_looks_at_for_long_is_given_back() {
        let cache = RecordCache::default();
        cache.insert(digest(1), Arc::default());
        assert!(cache.get(&digest(1)).is_some());
        cache.rest();
        assert!(cache.get(&digest(1)).is_some());
        cache.rest();
        cache.rest();
        assert!(cache.get(&digest(1)).is_none());
    }
}
