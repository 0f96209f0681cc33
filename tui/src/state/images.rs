//! The sizes of images as builds make them: by name, over time.

use std::collections::{BTreeMap, VecDeque};

use farm_model::BuildId;

/// Names that are kept.
const MOST_NAMES: usize = 4096;
/// Sizes that are kept of a name.
const MOST_SAMPLES: usize = 60;

/// The size of an image when a build made it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// The build.
    pub build: BuildId,
    /// Unpacked bytes.
    pub bytes: u64,
    /// Unpacked bytes of the stages that it does not contain, where they are known.
    pub discarded: Option<u64>,
    /// Bytes of the last thing that was written of it.
    pub written: Option<u64>,
}

/// The sizes of one name, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    /// The sizes; never empty.
    pub samples: VecDeque<Sample>,
}

impl Trend {
    /// The newest size.
    pub fn newest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// How many bytes the newest has more than the one before.
    pub fn growth(&self) -> Option<i128> {
        let mut newest = self.samples.iter().rev();
        let (now, before) = (newest.next()?, newest.next()?);
        Some(i128::from(now.bytes) - i128::from(before.bytes))
    }
}

/// The sizes of images, by name.
#[derive(Clone, Debug, Default)]
pub struct Images {
    names: BTreeMap<String, Trend>,
}

impl Images {
    /// The names and their sizes.
    pub fn names(&self) -> &BTreeMap<String, Trend> {
        &self.names
    }

    /// A build has made an image.
    pub(super) fn made(&mut self, name: &str, sample: Sample) {
        if self.names.len() >= MOST_NAMES && !self.names.contains_key(name) {
            let time = |trend: &Trend| trend.newest().map_or(i64::MIN, |sample| sample.time);
            let oldest = self.names.iter().min_by_key(|(_, trend)| time(trend)).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.names.remove(&oldest));
        }
        let samples = &mut self.names.entry(name.to_owned()).or_default().samples;
        // Told again after a reconnection.
        samples.retain(|known| known.build != sample.build);
        let place = samples.partition_point(|known| known.time <= sample.time);
        samples.insert(place, sample);
        let over = samples.len().saturating_sub(MOST_SAMPLES);
        samples.drain(..over);
    }

    /// A build has written its image somewhere.
    pub(super) fn written(&mut self, name: &str, build: BuildId, bytes: u64) {
        let trend = self.names.get_mut(name);
        let sample =
            trend.and_then(|trend| trend.samples.iter_mut().rev().find(|sample| sample.build == build));
        if let Some(sample) = sample {
            sample.written = Some(bytes);
        }
    }
}

/// An image in the list of those that have a name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ImageRow {
    /// Its name with the tag.
    pub name: String,
    /// The farm's id of it.
    pub id: String,
    /// Nanoseconds since the Unix epoch at which its newest layer was made.
    pub created: i64,
    /// Its platform.
    pub platform: String,
    /// Unpacked bytes.
    pub bytes: u64,
    /// Compressed bytes, once all layers were packed.
    pub packed: Option<u64>,
    /// Unpacked bytes of the previous image of this name.
    pub previous: Option<u64>,
    /// Unpacked bytes of the stages that it does not contain.
    pub discarded: u64,
    /// How many layers it has.
    pub layers: u32,
    /// Whether it is kept whatever is pruned.
    pub pinned: bool,
    /// The sizes that images of this name had, the oldest first.
    pub trend: Vec<u64>,
}

/// A layer of an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Layer {
    /// The farm's digest of it.
    pub digest: String,
    /// The instruction that made it.
    pub created_by: String,
    /// Unpacked bytes.
    pub bytes: u64,
    /// Files and directories in it.
    pub entries: u64,
    /// Compressed bytes, once packed.
    pub packed: Option<u64>,
    /// Whether it came with a base image.
    pub base: bool,
}

/// Everything about an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ImageDetail {
    /// As in the list.
    pub row: ImageRow,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// What each stage of its build weighed: name, bytes, whether it is the image.
    pub stages: Vec<(String, u64, bool)>,
}

/// What a layer wastes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LayerWaste {
    /// Bytes of it.
    pub bytes: u64,
    /// Bytes of its files that a later layer overwrites or deletes.
    pub hidden_bytes: u64,
    /// How many such files.
    pub hidden_files: u64,
    /// Bytes of its files that have the content that was there before.
    pub touched_bytes: u64,
    /// Bytes of its files whose content lies elsewhere in the image too.
    pub duplicate_bytes: u64,
    /// The worst paths and their bytes.
    pub worst: Vec<(String, u64)>,
}

/// How a thing in a layer relates to what lies below it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Against {
    /// It is as it was.
    #[default]
    Same,
    /// It is new.
    Added,
    /// It takes the place of another.
    Changed,
    /// It takes away what was there.
    Removed,
}

/// A thing in a directory of an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// `d`, `-`, `l` and so on, as `ls` has it.
    pub kind: char,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner and group.
    pub owner: (u32, u32),
    /// Its bytes; with everything beneath for a directory.
    pub bytes: u64,
    /// Where a symbolic link leads.
    pub link: Option<String>,
    /// How it relates to what lies below its layer.
    pub against: Against,
}

/// A path that differs between two images.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The path.
    pub path: String,
    /// Its bytes before; none when it was not there.
    pub before: Option<u64>,
    /// Its bytes now; none when it is not there any more.
    pub after: Option<u64>,
}
