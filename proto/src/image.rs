//! Images and disk use, as clients see them.

use farm_model::{BuildId, Platform};
use rkyv::{Archive, Deserialize, Serialize};

/// An image in a list. Sizes are unpacked bytes unless they say otherwise.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ImageSummary {
    /// Its name in the familiar form, with the tag.
    pub name: String,
    /// The farm's own id of it: 64 hexadecimal digits over its configuration and layers.
    pub id: String,
    /// The digest of its configuration, once it was put together.
    pub config: Option<String>,
    /// Nanoseconds since the Unix epoch at which its newest layer was made.
    pub created: i64,
    /// Its platform.
    pub platform: Platform,
    /// Its merged file system.
    pub bytes: u64,
    /// Compressed bytes of its layers, once all of them were packed.
    pub packed_bytes: Option<u64>,
    /// What the previous image of this name had.
    pub previous_bytes: Option<u64>,
    /// What the stages that it does not contain weighed.
    pub discarded_bytes: u64,
    /// How many layers it has.
    pub layers: u32,
    /// The build that made it.
    pub build: Option<BuildId>,
    /// What the last images of this name weighed, the oldest first and this one last; a bounded number of them.
    pub trend: Vec<u64>,
    /// Whether it stays whatever is pruned or removed.
    pub pinned: bool,
}

/// Everything about an image.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ImageDetails {
    /// As in a list.
    pub summary: ImageSummary,
    /// All of its names.
    pub names: Vec<String>,
    /// Its configuration as OCI JSON, `rootfs.diff_ids` only once it was put together.
    pub config: String,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerDetails>,
    /// An entry an instruction, the oldest first.
    pub history: Vec<HistoryRow>,
    /// What each stage of its build weighed.
    pub stages: Vec<StageRow>,
    /// The images that had this name, the oldest first and this one last; a bounded number of them.
    pub trend: Vec<TrendPoint>,
}

/// An image that has or had a name.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TrendPoint {
    /// Nanoseconds since the Unix epoch at which it got the name.
    pub time: i64,
    /// Its merged file system, unpacked.
    pub bytes: u64,
    /// Compressed bytes of its layers, if all of them were packed while it had the name.
    pub packed_bytes: Option<u64>,
    /// The build that made it.
    pub build: Option<BuildId>,
}

/// A layer of an image.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LayerDetails {
    /// The farm's digest of it.
    pub digest: String,
    /// Its unpacked bytes.
    pub bytes: u64,
    /// Files and directories in it.
    pub entries: u64,
    /// Its compressed bytes, once packed.
    pub packed_bytes: Option<u64>,
    /// Whether it came with a base image.
    pub base: bool,
}

/// One instruction in an image's history.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HistoryRow {
    /// Nanoseconds since the Unix epoch, when known.
    pub created: Option<i64>,
    /// The instruction.
    pub created_by: String,
    /// Who wrote the entry.
    pub comment: String,
    /// Unpacked bytes of its layer; none when it has no layer.
    pub bytes: Option<u64>,
}

/// What a stage weighed.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StageRow {
    /// Its name.
    pub stage: String,
    /// Its merged file system.
    pub bytes: u64,
    /// Whether it is the image.
    pub kept: bool,
}

/// What takes disk.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum UsageKind {
    /// Layers that named images need: the steps' and bases' bytes, each once.
    Images,
    /// Layers that only the cache keeps, and contents that belong to no layer directory.
    Cache,
    /// Directories of cache mounts.
    CacheMounts,
    /// Compressed layers that can be made again.
    Packed,
    /// Compressed layers of base images, as they came.
    BaseBlobs,
    /// Records, history, logs.
    Metadata,
}

impl UsageKind {
    /// What it is called in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Cache => "cache",
            Self::CacheMounts => "cache-mounts",
            Self::Packed => "packed",
            Self::BaseBlobs => "base-blobs",
            Self::Metadata => "metadata",
        }
    }
}

/// One line of disk use.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UsageRow {
    /// What.
    pub kind: UsageKind,
    /// How many of them.
    pub count: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Of these, what a prune could free.
    pub reclaimable: u64,
}

/// The disk of one machine.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeUsage {
    /// Which worker; none for the coordinator itself, and the worker in its process.
    pub worker: Option<String>,
    /// Kind by kind.
    pub rows: Vec<UsageRow>,
    /// Why it could not be asked.
    pub failure: Option<String>,
}

/// What to remove.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PruneRequest {
    /// Of these kinds; all but named images when empty.
    pub kinds: Vec<UsageKind>,
    /// Only what was not used for this many seconds.
    pub unused_for: Option<u64>,
    /// Stop once no more than this many bytes are left.
    pub keep_bytes: Option<u64>,
    /// Also what recent builds would find in the cache; without it only what no record reaches and what can be made again.
    pub all: bool,
    /// Remove nothing, only say what would go.
    pub dry_run: bool,
}
