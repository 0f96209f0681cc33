//! Which layers have a directory, which of those were checked since the start, and whose turn it is with one.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use farm_model::LayerDigest;

/// Digest over inode and change time of everything in a layer directory.
pub(crate) type Summary = [u8; 32];

/// What is known of a layer directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Belief {
    /// An earlier process recorded it with this summary.
    Unchecked(Summary),
    /// This process made it or compared it with its tree.
    Believed,
}

#[derive(Default)]
pub(crate) struct Directories {
    known: Mutex<HashMap<LayerDigest, Belief>>,
    busy: Mutex<HashSet<LayerDigest>>,
    free: Condvar,
}

impl Directories {
    pub(crate) fn load(&self, layer: LayerDigest, summary: Summary) {
        self.known().insert(layer, Belief::Unchecked(summary));
    }

    pub(crate) fn believe(&self, layer: LayerDigest) {
        self.known().insert(layer, Belief::Believed);
    }

    pub(crate) fn forget(&self, layer: &LayerDigest) {
        self.known().remove(layer);
    }

    pub(crate) fn has(&self, layer: &LayerDigest) -> bool {
        self.known().contains_key(layer)
    }

    /// Every layer that has a directory.
    pub(crate) fn all(&self) -> Vec<LayerDigest> {
        self.known().keys().copied().collect()
    }

    pub(crate) fn belief(&self, layer: &LayerDigest) -> Option<Belief> {
        self.known().get(layer).copied()
    }

    /// Waits until nobody else makes, checks or removes this layer's directory.
    ///
    /// Whoever makes a directory may wait for the check of another; a check waits for nothing.
    pub(crate) fn enter(&self, layer: &LayerDigest) -> Turn<'_> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while !busy.insert(*layer) {
            busy = self.free.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { directories: self, layer: *layer }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<LayerDigest, Belief>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to change one layer's directory.
pub(crate) struct Turn<'a> {
    directories: &'a Directories,
    layer: LayerDigest,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut busy = self.directories.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.layer);
        drop(busy);
        self.directories.free.notify_all();
    }
}
