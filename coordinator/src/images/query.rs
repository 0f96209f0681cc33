//! Questions about what is in images: waste, directories, differences. Answered from records; no file is read.

use std::sync::Arc;

use farm_oci::ImageLayer;
use farm_proto::client::Reply;
use farm_proto::image_query::{
    ComparedImage, DifferenceKind, DifferenceRow, DifferenceSum, DirectoryListing, EntriesRequest, EntryKind,
    EntryRow, EntryStanding, ImageComparison, ImageWaste, PathExtent, WasteCause, WasteRow, WasteShare,
    WastedFile,
};
use farm_store::Store;
use farm_tree::compare::{Difference, Extent, Sum};
use farm_tree::diff::ChangeKind;
use farm_tree::list::{Row, Standing, Whose};
use farm_tree::waste::{Because, Share};
use farm_tree::{DeviceKind, Node, Tree};

use super::{Record, describe, look_up};
use crate::Error;
use crate::build::{Farm, blocking};

/// More files of a kind than anybody reads for one layer.
const MOST_WORST: usize = 100;
/// Entries and differences that are told of at once.
const MOST_ROWS: usize = 10_000;

/// What the layers of an image hold in vain.
pub(crate) async fn waste(farm: &Arc<Farm>, image: String, worst: u32) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let (name, record) = look_up(&farm, &image)?;
        let trees = trees(&farm.store, &record)?;
        let found = farm_tree::waste(&farm.store, &trees, at_most(worst, MOST_WORST))?;
        let (bytes, seen, wasted) = (found.bytes, found.seen, found.wasted());
        let made = describe::instructions(&record.image);
        let row =
            |((layer, created_by), waste): ((&ImageLayer, String), farm_tree::waste::LayerWaste)| WasteRow {
                digest: layer.layer().digest.to_string(),
                created_by,
                base: matches!(layer, ImageLayer::Base { .. }),
                bytes: waste.bytes,
                entries: waste.entries,
                overwritten: share(waste.overwritten),
                deleted: share(waste.deleted),
                touched: share(waste.touched),
                duplicated: share(waste.duplicated),
            };
        let layers = record.image.layers.iter().zip(made).zip(found.layers).map(row).collect();
        Ok(Reply::Waste(Box::new(ImageWaste { name, layers, bytes, seen, wasted })))
    })
    .await
}

/// One directory of an image.
pub(crate) async fn entries(farm: &Arc<Farm>, request: EntriesRequest) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let (name, record) = look_up(&farm, &request.image)?;
        let trees = trees(&farm.store, &record)?;
        let merged = merged(&farm.store, &record)?;
        let whose = match request.layer {
            None => Whose::Merged(&merged),
            Some(number) => match usize::try_from(number) {
                Ok(number) if number < trees.len() => Whose::Layer(number),
                _ => return Err(Error::NoSuchLayer { image: name, layers: trees.len() }),
            },
        };
        let skip = usize::try_from(request.skip).unwrap_or(usize::MAX);
        let limit = at_most(request.limit, MOST_ROWS);
        let found = farm_tree::list(&farm.store, &trees, whose, &request.path, skip, limit)?;
        let seen = skip.saturating_add(found.rows.len());
        Ok(Reply::Entries(Box::new(DirectoryListing {
            path: found.path,
            rows: found.rows.into_iter().map(entry).collect(),
            more: found.total.saturating_sub(u64::try_from(seen).unwrap_or(u64::MAX)),
            layers: u32::try_from(trees.len()).unwrap_or(u32::MAX),
        })))
    })
    .await
}

/// What two images differ in.
pub(crate) async fn compare(
    farm: &Arc<Farm>,
    before: String,
    after: String,
    limit: u32,
) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let side = |image: &str| {
            let (name, record) = look_up(&farm, image)?;
            let tree = merged(&farm.store, &record)?;
            let root = tree.root.record;
            let side = ComparedImage { name, id: record.id(), bytes: root.bytes, entries: root.entries };
            Ok::<_, Error>((side, tree))
        };
        let ((before, old), (after, new)) = (side(&before)?, side(&after)?);
        let found = farm_tree::compare(&farm.store, &old, &new, at_most(limit, MOST_ROWS))?;
        Ok(Reply::Compared(Box::new(ImageComparison {
            before,
            after,
            rows: found.list.into_iter().map(difference).collect(),
            more: found.more,
            added: sum(found.added),
            removed: sum(found.removed),
            changed: sum(found.changed),
            metadata: found.metadata,
        })))
    })
    .await
}

/// The trees of an image's layers, the lowest first.
pub(super) fn trees(store: &Store, record: &Record) -> Result<Vec<Tree>, Error> {
    record.layers().map(|digest| store.tree(&digest)?.ok_or_else(|| Error::LayerLost(vec![digest]))).collect()
}

/// What an image shows.
pub(super) fn merged(store: &Store, record: &Record) -> Result<Tree, Error> {
    let digest = record.merged.digest;
    store.tree(&digest)?.ok_or_else(|| Error::LayerLost(vec![digest]))
}

fn at_most(wanted: u32, limit: usize) -> usize {
    usize::try_from(wanted).unwrap_or(usize::MAX).min(limit)
}

fn share(share: Share) -> WasteShare {
    let worst = share.worst.into_iter().map(|file| WastedFile {
        path: file.path,
        bytes: file.bytes,
        because: match file.because {
            Because::Layer(number) => WasteCause::Layer(number),
            Because::Path(path) => WasteCause::Path(path),
        },
    });
    WasteShare { files: share.files, bytes: share.bytes, worst: worst.collect() }
}

fn entry(row: Row) -> EntryRow {
    let extent = row.node.as_ref().map(Extent::of).unwrap_or_default();
    let (kind, target, opaque) = match &row.node {
        None => (EntryKind::Removed, None, false),
        Some(Node::Directory(directory)) => (EntryKind::Directory, None, directory.opaque),
        Some(Node::File(file)) => (EntryKind::File, file.hard_link.as_deref().map(<[u8]>::to_vec), false),
        Some(Node::Symlink(symlink)) => (EntryKind::Symlink, Some(symlink.target.clone()), false),
        Some(Node::Device(device)) => (special(device.kind), None, false),
    };
    let metadata = row.node.as_ref().map(|node| node.metadata().clone()).unwrap_or_default();
    EntryRow {
        name: row.name,
        kind,
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime: metadata.mtime.0,
        bytes: extent.bytes,
        // A directory's extent counts the directory itself.
        entries: if extent.directory { extent.entries.saturating_sub(1) } else { 0 },
        target,
        opaque,
        standing: standing(row.standing),
        before_bytes: row.before.map(|extent| extent.bytes),
        layer: row.layer,
    }
}

fn special(kind: DeviceKind) -> EntryKind {
    match kind {
        DeviceKind::Character { major, minor } => EntryKind::Character { major, minor },
        DeviceKind::Block { major, minor } => EntryKind::Block { major, minor },
        DeviceKind::Fifo => EntryKind::Fifo,
    }
}

fn standing(standing: Standing) -> EntryStanding {
    match standing {
        Standing::Added => EntryStanding::Added,
        Standing::Removed => EntryStanding::Removed,
        Standing::Contents => EntryStanding::Contents,
        Standing::Metadata => EntryStanding::Metadata,
        Standing::Within => EntryStanding::Within,
        Standing::Touched => EntryStanding::Touched,
        Standing::Same => EntryStanding::Same,
    }
}

fn difference(difference: Difference) -> DifferenceRow {
    DifferenceRow {
        path: difference.path,
        kind: match difference.kind {
            ChangeKind::Added => DifferenceKind::Added,
            ChangeKind::Deleted => DifferenceKind::Removed,
            ChangeKind::Contents => DifferenceKind::Contents,
            ChangeKind::Metadata => DifferenceKind::Metadata,
        },
        before: difference.before.map(extent),
        after: difference.after.map(extent),
    }
}

fn extent(extent: Extent) -> PathExtent {
    PathExtent { bytes: extent.bytes, entries: extent.entries, directory: extent.directory }
}

fn sum(sum: Sum) -> DifferenceSum {
    DifferenceSum { entries: sum.entries, before: sum.before, after: sum.after }
}
