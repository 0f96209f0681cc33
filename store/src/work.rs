//! Work under way, from which nothing is pruned.
//!
//! A build looks for blobs, records and layers, and relies on them from then on, long before a step's record names them.
//! So while any [`Work`] lives, the store remembers what it was asked for and given, and a prune leaves that alone. A
//! prune removes under the same lock under which a look is noted: whoever looks has been noted before, or finds nothing.
//!
//! Only a part of each digest is remembered. Two things that share it keep each other alive, which does no harm.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farm_model::LayerDigest;

use crate::Store;
use crate::store::Core;

/// A build or a task under way. While it lives, nothing is pruned that the store was asked for, or given, since it
/// began.
pub struct Work {
    core: Arc<Core>,
    began: u64,
}

impl Store {
    /// Begins a piece of work. To be held from before its first look into the store until its last record is written.
    pub fn begin(&self) -> Work {
        Work { core: Arc::clone(&self.core), began: self.core.touched.begin() }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.core.touched.end(self.began);
    }
}

/// What kind of thing was looked at.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Thing {
    Blob,
    Record,
    Layer,
    Oci,
}

/// What was looked at since the oldest work began.
#[derive(Default)]
pub(crate) struct Touched {
    /// Pieces of work, and prunes.
    watchers: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    now: u64,
    /// When each piece of work began → how many did then.
    running: BTreeMap<u64, usize>,
    /// When something was looked at last.
    looks: HashMap<(Thing, u64), u64>,
    /// Whether a prune wants to hear of layers that it did not know to be needed.
    sweep: Sweep,
}

#[derive(Default)]
enum Sweep {
    #[default]
    None,
    Running(Vec<LayerDigest>),
}

impl Touched {
    /// Notes a look at a thing, before it is looked at.
    pub(crate) fn touch(&self, thing: Thing, digest: &[u8; 32]) {
        if self.watchers.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.lock();
        let now = state.now;
        let known = state.looks.insert((thing, part(digest)), now);
        if known.is_none()
            && thing == Thing::Layer
            && let Sweep::Running(late) = &mut state.sweep
        {
            late.push(LayerDigest(*digest));
        }
    }

    /// Notes a layer whose tree has just been kept. A prune may have heard of the layer before and found no tree; from here
    /// on whoever looks relies on what the tree needs.
    pub(crate) fn came(&self, layer: &LayerDigest) {
        if self.watchers.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.lock();
        let now = state.now;
        state.looks.insert((Thing::Layer, part(layer.as_bytes())), now);
        if let Sweep::Running(late) = &mut state.sweep {
            late.push(*layer);
        }
    }

    /// Whether any work is under way, or a prune.
    pub(crate) fn is_working(&self) -> bool {
        self.watchers.load(Ordering::Acquire) > 0
    }

    /// Begins to hear of layers that are looked at for the first time.
    pub(crate) fn begin_sweep(&self) {
        self.watchers.fetch_add(1, Ordering::AcqRel);
        self.lock().sweep = Sweep::Running(Vec::new());
    }

    pub(crate) fn end_sweep(&self) {
        let mut state = self.lock();
        state.sweep = Sweep::None;
        state.forget_old();
        self.watchers.fetch_sub(1, Ordering::AcqRel);
    }

    /// While the guard lives, nobody's look is noted, so nobody finds what is removed.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> u64 {
        self.watchers.fetch_add(1, Ordering::AcqRel);
        let mut state = self.lock();
        state.now += 1;
        let now = state.now;
        *state.running.entry(now).or_default() += 1;
        now
    }

    fn end(&self, began: u64) {
        let mut state = self.lock();
        if let Some(count) = state.running.get_mut(&began) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&began);
            }
        }
        state.forget_old();
        self.watchers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl State {
    pub(crate) fn is_touched(&self, thing: Thing, digest: &[u8; 32]) -> bool {
        self.looks.contains_key(&(thing, part(digest)))
    }

    /// As [`State::is_touched`], by what is remembered of a digest.
    pub(crate) fn is_touched_part(&self, thing: Thing, part: u64) -> bool {
        self.looks.contains_key(&(thing, part))
    }

    /// Whether layers were looked at for the first time since [`State::take_late`].
    pub(crate) fn has_late(&self) -> bool {
        matches!(&self.sweep, Sweep::Running(late) if !late.is_empty())
    }

    /// Layers that were looked at for the first time since the last call.
    pub(crate) fn take_late(&mut self) -> Vec<LayerDigest> {
        match &mut self.sweep {
            Sweep::None => Vec::new(),
            Sweep::Running(late) => mem::take(late),
        }
    }

    fn forget_old(&mut self) {
        if matches!(self.sweep, Sweep::Running(_)) {
            return;
        }
        match self.running.first_key_value() {
            None => self.looks = HashMap::new(),
            Some((oldest, _)) => {
                let oldest = *oldest;
                self.looks.retain(|_, looked| *looked >= oldest);
            }
        }
    }
}

/// What is remembered of a digest.
pub(crate) fn part(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_is_remembered_as_long_as_work_runs_that_began_before() {
        let touched = Touched::default();
        touched.touch(Thing::Blob, &[1; 32]);
        assert!(!touched.lock().is_touched(Thing::Blob, &[1; 32]), "nobody works");
        let first = touched.begin();
        touched.touch(Thing::Blob, &[2; 32]);
        let second = touched.begin();
        touched.touch(Thing::Blob, &[3; 32]);
        touched.end(first);
        assert!(!touched.lock().is_touched(Thing::Blob, &[2; 32]));
        assert!(touched.lock().is_touched(Thing::Blob, &[3; 32]));
        assert!(!touched.lock().is_touched(Thing::Record, &[3; 32]));
        touched.end(second);
        assert!(touched.lock().looks.is_empty());
    }

    #[test]
    fn a_prune_hears_of_each_layer_once() {
        let touched = Touched::default();
        touched.begin_sweep();
        touched.touch(Thing::Layer, &[1; 32]);
        touched.touch(Thing::Layer, &[1; 32]);
        assert_eq!(touched.lock().take_late(), [LayerDigest([1; 32])]);
        assert_eq!(touched.lock().take_late(), []);
        touched.came(&LayerDigest([1; 32]));
        assert_eq!(touched.lock().take_late(), [LayerDigest([1; 32])], "now it has a tree");
        touched.end_sweep();
        assert!(touched.lock().looks.is_empty());
    }
}
