//! What there is: layers with who needs them, OCI blobs, cache mounts, and what each would free.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use farm_model::encoding::Decoder;
use farm_model::{LayerDigest, OciDigest};
use farm_tree::Tree;

use crate::blobs::blob_of_key;
use crate::database::{Table, read_value};
use crate::oci::decode_packed;
use crate::prune::disk::{children, held};
use crate::prune::marks::{Marks, Need};
use crate::steps::{decode_layer, decode_result, read_witness};
use crate::usage::{Class, Pins, Usage};
use crate::uses::{layer_key, now_seconds, oci_key};
use crate::work::{Thing, part};
use crate::{Error, Store};

/// Who needs a layer, from the strongest claim to none.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Standing {
    /// The caller.
    Pinned,
    /// Work under way.
    Busy,
    /// A record: a later build may find it.
    Recorded,
    /// A record's witness: its tree without its bytes.
    Evidence,
    /// Nobody.
    Unreached,
}

pub(super) struct LayerUse {
    pub(super) digest: LayerDigest,
    /// None when only its directory is left.
    pub(super) tree: Option<Tree>,
    pub(super) standing: Standing,
    /// Whether a witness names it, whoever else needs it.
    pub(super) explains: bool,
    pub(super) last_use: u64,
    /// What goes with it: its directory, and blobs that no layer with a stronger claim needs.
    pub(super) bytes: u64,
}

pub(super) struct OciUse {
    pub(super) digest: OciDigest,
    pub(super) size: u64,
    pub(super) class: Class,
    pub(super) last_use: u64,
    /// Rows that say which layer it is a form of.
    pub(super) rows: Vec<Vec<u8>>,
}

pub(super) struct MountUse {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) last_use: u64,
}

pub(super) struct Survey {
    /// The strongest claims first, and of equal ones what was used last.
    pub(super) layers: Vec<LayerUse>,
    /// Number and bytes of blobs that no layer names.
    pub(super) stray: (u64, u64),
    pub(super) oci: Vec<OciUse>,
    pub(super) mounts: Vec<MountUse>,
    metadata: u64,
}

impl Survey {
    pub(super) fn take(store: &Store, pins: &Pins) -> Result<Self, Error> {
        let uses = store.last_uses()?;
        let reached = Reached::find(store)?;
        let mut layers = Vec::new();
        let touched =
            |layer: &LayerDigest| store.core.touched.lock().is_touched(Thing::Layer, layer.as_bytes());
        let mut add = |digest: LayerDigest, tree: Option<Tree>| {
            let standing = if pins.layers.contains(&digest) {
                Standing::Pinned
            } else if touched(&digest) {
                Standing::Busy
            } else if reached.recorded.contains(&digest) {
                Standing::Recorded
            } else if reached.evidence.contains(&digest) {
                Standing::Evidence
            } else {
                Standing::Unreached
            };
            let last_use = uses.get(&layer_key(&digest)).copied().unwrap_or(0);
            let explains = reached.evidence.contains(&digest);
            layers.push(LayerUse { digest, tree, standing, explains, last_use, bytes: 0 });
        };
        let mut directories: HashSet<LayerDigest> = store.core.directories.all().into_iter().collect();
        let mut with_directory = HashSet::new();
        store.core.database.each(Table::Trees, &mut |key, row| {
            if let Ok(digest) = key.try_into().map(LayerDigest) {
                if directories.remove(&digest) {
                    with_directory.insert(digest);
                }
                add(digest, Some(read_value(Table::Trees, row, |d| Tree::decode(d.bytes()?))?));
            }
            Ok(())
        })?;
        let mut orphans: Vec<LayerDigest> = directories.into_iter().collect();
        orphans.sort_unstable();
        for digest in orphans {
            add(digest, None);
        }
        layers.sort_by_key(|layer| (layer.standing, Reverse(layer.last_use), layer.digest));
        let stray = weigh(store, &mut layers, &with_directory)?;
        let oci = oci_blobs(store, &uses)?;
        let metadata = held(&store.core.layout.database()).bytes;
        Ok(Self { layers, stray, oci, mounts: mounts(store), metadata })
    }

    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        let now = now_seconds();
        for layer in &self.layers {
            usage.warm(layer.bytes, now.saturating_sub(layer.last_use));
            match layer.standing {
                Standing::Pinned => usage.add(Class::Images, layer.bytes, 0),
                Standing::Busy => usage.add(Class::Cache, layer.bytes, 0),
                Standing::Evidence => {}
                Standing::Recorded | Standing::Unreached => {
                    usage.add(Class::Cache, layer.bytes, layer.bytes);
                }
            }
        }
        if self.stray.0 > 0 {
            usage.add_many(Class::Cache, self.stray.0, self.stray.1);
        }
        for blob in &self.oci {
            usage.add(blob.class, blob.size, blob.size);
        }
        for mount in &self.mounts {
            usage.add(Class::CacheMounts, mount.bytes, mount.bytes);
        }
        usage.add(Class::Metadata, self.metadata, 0);
        usage
    }
}

/// Layers that records name.
struct Reached {
    recorded: HashSet<LayerDigest>,
    evidence: HashSet<LayerDigest>,
}

impl Reached {
    fn find(store: &Store) -> Result<Self, Error> {
        let database = &store.core.database;
        let (mut recorded, mut evidence) = (HashSet::new(), HashSet::new());
        database.each(Table::Steps, &mut |_, row| {
            let result = read_value(Table::Steps, row, decode_result)?;
            recorded.extend(result.layer.map(|layer| layer.digest));
            Ok(())
        })?;
        database.each(Table::BaseLayers, &mut |_, row| {
            recorded.insert(read_value(Table::BaseLayers, row, decode_layer)?.digest);
            Ok(())
        })?;
        database.each(Table::Witnesses, &mut |_, row| {
            evidence.extend(read_witness(row)?.1);
            Ok(())
        })?;
        Ok(Self { recorded, evidence })
    }
}

/// Gives each layer the bytes that only it and those behind it need; says what is left over.
fn weigh(
    store: &Store,
    layers: &mut [LayerUse],
    with_directory: &HashSet<LayerDigest>,
) -> Result<(u64, u64), Error> {
    let mut own = HashMap::new();
    store.core.database.each(Table::Blobs, &mut |key, _| {
        if let Some(blob) = blob_of_key(key) {
            own.insert(part(&blob.hash), blob.size);
        }
        Ok(())
    })?;
    let mut marks = Marks::default();
    for layer in layers {
        let Some(tree) = &layer.tree else { continue };
        if with_directory.contains(&layer.digest) {
            layer.bytes = tree.root.record.bytes;
        }
        if layer.standing != Standing::Evidence {
            let bytes = &mut layer.bytes;
            marks.mark(store, tree, Need::Everything, &mut |blob| {
                *bytes += own.remove(&part(&blob.hash)).unwrap_or(0);
            })?;
        }
    }
    Ok(own.values().fold((0, 0), |(count, bytes), size| (count + 1, bytes + size)))
}

fn oci_blobs(store: &Store, uses: &HashMap<[u8; 33], u64>) -> Result<Vec<OciUse>, Error> {
    let mut forms: HashMap<[u8; 32], Vec<Vec<u8>>> = HashMap::new();
    store.core.database.each(Table::Packed, &mut |key, row| {
        let (_, packed) = decode_packed(row)?;
        forms.entry(packed.digest.0).or_default().push(key.to_owned());
        Ok(())
    })?;
    let mut blobs = Vec::new();
    store.core.database.each(Table::OciBlobs, &mut |key, row| {
        let Ok(digest) = key.try_into().map(OciDigest) else { return Ok(()) };
        let rows = forms.remove(&digest.0).unwrap_or_default();
        let class = if rows.is_empty() { Class::BaseBlobs } else { Class::Packed };
        let size = read_value(Table::OciBlobs, row, Decoder::u64)?;
        let last_use = uses.get(&oci_key(&digest)).copied().unwrap_or(0);
        blobs.push(OciUse { digest, size, class, last_use, rows });
        Ok(())
    })?;
    Ok(blobs)
}

/// Instances of cache mounts: a folder a mount, a directory in it an instance.
fn mounts(store: &Store) -> Vec<MountUse> {
    let folders = children(&store.cache_mounts_root());
    let instances = folders.iter().flat_map(|folder| children(folder));
    instances
        .map(|path| {
            let held = held(&path);
            MountUse { path, bytes: held.bytes, last_use: held.changed }
        })
        .collect()
}
