//! What can be asked of the contents of images, as clients see it. Sizes are unpacked bytes unless they say otherwise, and
//! paths are relative to the root, as bytes, since a file name is any bytes.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

use rkyv::{Archive, Deserialize, Serialize};

/// What the layers of an image hold in vain.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ImageWaste {
    /// The image's name.
    pub name: String,
    /// Its layers, the lowest first.
    pub layers: Vec<WasteRow>,
    /// Bytes of all layers.
    pub bytes: u64,
    /// Bytes of the files that the image shows.
    pub seen: u64,
    /// Bytes that are overwritten, deleted or held again: those of the layers without those that are seen.
    pub wasted: u64,
}

/// What one layer holds in vain.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WasteRow {
    /// The farm's digest of it.
    pub digest: String,
    /// The instruction that made it; empty when the image does not say.
    pub created_by: String,
    /// Whether it came with a base image.
    pub base: bool,
    /// Its bytes.
    pub bytes: u64,
    /// Files and directories in it.
    pub entries: u64,
    /// Files that a later layer replaces by others.
    pub overwritten: WasteShare,
    /// Files that a later layer deletes.
    pub deleted: WasteShare,
    /// Files that an earlier layer has with the same content.
    pub touched: WasteShare,
    /// Files with content that lies at another path of the image too; not part of what is wasted.
    pub duplicated: WasteShare,
}

/// A part of a layer.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WasteShare {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The largest of them, the largest first.
    pub worst: Vec<WastedFile>,
}

/// A file that a layer holds in vain.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WastedFile {
    /// Its path.
    pub path: Vec<u8>,
    /// Its bytes.
    pub bytes: u64,
    /// What makes it so.
    pub because: WasteCause,
}

/// What makes a file waste.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum WasteCause {
    /// The layer, from 0, that overwrites or deletes it, or that has it already.
    Layer(u32),
    /// The first path at which the same content lies.
    Path(Vec<u8>),
}

/// Which directory of an image is wanted.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EntriesRequest {
    /// A name or an id.
    pub image: String,
    /// The layer, from 0, whose own tree is meant; none for all of them merged.
    pub layer: Option<u32>,
    /// The path of the directory, with or without a leading slash; `..` is refused.
    pub path: Vec<u8>,
    /// How many entries were seen already.
    pub skip: u32,
    /// At most so many; the coordinator may give fewer.
    pub limit: u32,
}

/// A directory of an image.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DirectoryListing {
    /// Where it is, without symbolic links on the way.
    pub path: Vec<u8>,
    /// Its entries in byte order of their names; the one thing at the path when that is no directory.
    pub rows: Vec<EntryRow>,
    /// How many follow.
    pub more: u64,
    /// How many layers the image has.
    pub layers: u32,
}

/// A name in a directory.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EntryRow {
    /// The name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Nanoseconds since the Unix epoch.
    pub mtime: i64,
    /// Bytes of the file, or of the files beneath the directory.
    pub bytes: u64,
    /// Files and directories beneath; zero but for a directory.
    pub entries: u64,
    /// What a symbolic link points to; of a file with several names, the first of them.
    pub target: Option<Vec<u8>>,
    /// Whether a layer's directory hides what lies below it.
    pub opaque: bool,
    /// How it stands to the layers below.
    pub standing: EntryStanding,
    /// Bytes of what lies below.
    pub before_bytes: Option<u64>,
    /// The layer that it comes from, from 0.
    pub layer: u32,
}

/// What a name stands for.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A FIFO.
    Fifo,
    /// Something below that the layer takes away.
    Removed,
}

/// How an entry stands to what lies below its layer.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EntryStanding {
    /// It is new.
    Added,
    /// It is taken away.
    Removed,
    /// It is something else, or has other contents.
    Contents,
    /// It has another mode, owner or other extended attributes.
    Metadata,
    /// A directory in which something differs.
    Within,
    /// It is what it was but for its time.
    Touched,
    /// It is what it was, or nothing was compared.
    Same,
}

/// What two images differ in, times apart.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ImageComparison {
    /// The one.
    pub before: ComparedImage,
    /// The other.
    pub after: ComparedImage,
    /// The heaviest differences: by how much they change the size, then by how much they are. What lies in an added or
    /// removed directory is not listed besides.
    pub rows: Vec<DifferenceRow>,
    /// How many are left out.
    pub more: u64,
    /// What is new.
    pub added: DifferenceSum,
    /// What is gone.
    pub removed: DifferenceSum,
    /// What has other contents.
    pub changed: DifferenceSum,
    /// How many have only another mode, owner or extended attributes.
    pub metadata: u64,
}

/// One of two images.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ComparedImage {
    /// Its name.
    pub name: String,
    /// The farm's id of it.
    pub id: String,
    /// Its merged file system.
    pub bytes: u64,
    /// Files and directories in it.
    pub entries: u64,
}

/// What differences of one kind add up to.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DifferenceSum {
    /// Files and directories.
    pub entries: u64,
    /// Their bytes before.
    pub before: u64,
    /// Their bytes after.
    pub after: u64,
}

/// A path that differs.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DifferenceRow {
    /// The path.
    pub path: Vec<u8>,
    /// How.
    pub kind: DifferenceKind,
    /// What was there.
    pub before: Option<PathExtent>,
    /// What is there.
    pub after: Option<PathExtent>,
}

/// How a path differs.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum DifferenceKind {
    /// It is new, with everything in it.
    Added,
    /// It is gone, with everything in it.
    Removed,
    /// Its bytes, its link target or what kind of thing it is.
    Contents,
    /// Its mode, owner or extended attributes.
    Metadata,
}

/// How much lies at a path.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PathExtent {
    /// Bytes of the file, or of the files beneath the directory.
    pub bytes: u64,
    /// Files and directories, the path itself included.
    pub entries: u64,
    /// Whether it is a directory.
    pub directory: bool,
}

/// Which layers the images that have a name share.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SharedBytes {
    /// Every image once, by its first name.
    pub images: Vec<SharingRow>,
    /// Layers that several images have, the heaviest first.
    pub layers: Vec<SharedLayer>,
    /// How many of these are left out.
    pub more: u64,
    /// Bytes of all layers of all images, each layer once.
    pub bytes: u64,
    /// Bytes that they would take if each image had its own.
    pub bytes_apart: u64,
}

/// An image and what it shares.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SharingRow {
    /// All of its names.
    pub names: Vec<String>,
    /// The farm's id of it.
    pub id: String,
    /// Bytes of its layers.
    pub bytes: u64,
    /// Of these, the bytes of layers that no other image has.
    pub own_bytes: u64,
    /// Of these, the bytes of layers that others have too.
    pub shared_bytes: u64,
}

/// A layer that several images have.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SharedLayer {
    /// The farm's digest of it.
    pub digest: String,
    /// The instruction that made it; empty when the image does not say.
    pub created_by: String,
    /// Whether it came with a base image.
    pub base: bool,
    /// Its bytes.
    pub bytes: u64,
    /// Files and directories in it.
    pub entries: u64,
    /// Its compressed bytes, once packed.
    pub packed_bytes: Option<u64>,
    /// The first name of each image that has it.
    pub images: Vec<String>,
}
