//! What takes disk, by class, and what a prune is asked to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use farm_model::LayerDigest;

const DAY: u64 = 24 * 3600;

/// What takes disk.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Layer directories and blobs that pinned layers need.
    Images,
    /// Layer directories and blobs that only the cache keeps, and those that nothing keeps.
    Cache,
    /// Directories of cache mounts.
    CacheMounts,
    /// Compressed layers that can be made again.
    Packed,
    /// Compressed layers of base images, as they came.
    BaseBlobs,
    /// Records, history, logs, manifests.
    Metadata,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Images, Self::Cache, Self::CacheMounts, Self::Packed, Self::BaseBlobs, Self::Metadata];
}

/// How much of one class there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Amount {
    /// Layers, mounts or files.
    pub count: u64,
    /// Bytes of the files; of a blob that several layers share, once.
    pub bytes: u64,
    /// Of these, what [`Store::prune`](crate::Store::prune) could free.
    pub reclaimable: u64,
}

/// Disk use by class.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    classes: BTreeMap<Class, Amount>,
    layers: Warmth,
}

/// Bytes of layers by when they were used last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Warmth {
    /// Within the last day.
    pub hot: u64,
    /// Before that.
    pub cold: u64,
}

impl Usage {
    /// How much of `class` there is.
    pub fn of(&self, class: Class) -> Amount {
        self.classes.get(&class).copied().unwrap_or_default()
    }

    /// Every class that there is something of.
    pub fn iter(&self) -> impl Iterator<Item = (Class, Amount)> {
        self.classes.iter().map(|(class, amount)| (*class, *amount))
    }

    /// Bytes of all classes.
    pub fn bytes(&self) -> u64 {
        self.classes.values().map(|amount| amount.bytes).sum()
    }

    /// Bytes of layers by when they were used last.
    pub fn layers(&self) -> Warmth {
        self.layers
    }

    /// Counts the bytes of a layer that was used last so many seconds ago.
    pub(crate) fn warm(&mut self, bytes: u64, seconds_ago: u64) {
        let sum = if seconds_ago < DAY { &mut self.layers.hot } else { &mut self.layers.cold };
        *sum += bytes;
    }

    /// Counts `count` things that can go, which together hold `bytes`.
    pub(crate) fn add_many(&mut self, class: Class, count: u64, bytes: u64) {
        let amount = self.classes.entry(class).or_default();
        amount.count += count;
        amount.bytes += bytes;
        amount.reclaimable += bytes;
    }

    /// Counts one thing more.
    pub(crate) fn add(&mut self, class: Class, bytes: u64, reclaimable: u64) {
        let amount = self.classes.entry(class).or_default();
        amount.count += 1;
        amount.bytes += bytes;
        amount.reclaimable += reclaimable;
    }
}

/// What must stay whatever a prune asks for.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// Layers of named images, and of running builds and tasks.
    pub layers: BTreeSet<LayerDigest>,
}

/// What a prune asks about before it removes it.
#[derive(Clone, Copy, Debug)]
pub enum InUse<'a> {
    /// Does a mount use the directory of this layer?
    Layer(&'a LayerDigest),
    /// Does a step use an instance of this cache mount at the moment?
    CacheMount(&'a Path),
    /// Does a step use this instance of a cache mount, which is about to be removed? Whoever says no sees to it that none does
    /// until the prune is over.
    Removal(&'a Path),
}

/// What to remove.
#[derive(Clone, Debug, Default)]
pub struct Prune {
    /// Of these classes; of all but images when empty. Images and metadata are never removed by themselves.
    pub classes: BTreeSet<Class>,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// Stop once the classes together hold no more than this, images and metadata not counted.
    pub keep_bytes: Option<u64>,
    /// Also what a later build would find in the cache; without it only what no record reaches and what can be made
    /// again.
    pub all: bool,
    /// Remove nothing, only say what would go.
    pub dry_run: bool,
}
