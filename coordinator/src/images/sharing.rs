//! What images share: layers that several of them have, and bytes counted once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use farm_model::LayerDigest;
use farm_oci::ImageLayer;
use farm_proto::client::Reply;
use farm_proto::image_query::{SharedBytes, SharedLayer, SharingRow};

use super::{Record, all, describe};
use crate::Error;
use crate::build::{Farm, blocking};

/// So many shared layers are told of.
const MOST_LAYERS: usize = 1000;

/// Which layers the images that have a name share.
pub(crate) async fn sharing(farm: &Arc<Farm>) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || Ok(Reply::Sharing(Box::new(shared(&farm)?)))).await
}

/// An image and all of its names.
struct Named {
    names: Vec<String>,
    id: String,
    record: Record,
}

/// A layer and the images that have it, by their positions.
struct Held {
    layer: SharedLayer,
    images: Vec<usize>,
}

fn shared(farm: &Farm) -> Result<SharedBytes, Error> {
    let images = distinct(all(farm)?);
    let mut layers: BTreeMap<LayerDigest, Held> = BTreeMap::new();
    for (number, image) in images.iter().enumerate() {
        for (layer, created_by) in
            image.record.image.layers.iter().zip(describe::instructions(&image.record.image))
        {
            let digest = layer.layer().digest;
            let held = match layers.entry(digest) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(Held { layer: row(farm, layer, created_by)?, images: Vec::new() })
                }
            };
            if held.images.last() != Some(&number) {
                held.images.push(number);
            }
        }
    }
    Ok(sum(&images, layers))
}

/// Each image once.
fn distinct(all: Vec<(String, Record)>) -> Vec<Named> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut images: Vec<Named> = Vec::new();
    for (name, record) in all {
        let id = record.id();
        if let Some(image) = places.get(&id).and_then(|place| images.get_mut(*place)) {
            image.names.push(name);
            continue;
        }
        places.insert(id.clone(), images.len());
        images.push(Named { names: vec![name], id, record });
    }
    images
}

fn row(farm: &Farm, layer: &ImageLayer, created_by: String) -> Result<SharedLayer, Error> {
    let digest = layer.layer().digest;
    let root = farm.store.tree(&digest)?.map(|tree| tree.root.record);
    Ok(SharedLayer {
        digest: digest.to_string(),
        created_by,
        base: matches!(layer, ImageLayer::Base { .. }),
        bytes: root.map_or(0, |root| root.bytes),
        entries: root.map_or(0, |root| root.entries),
        packed_bytes: describe::packed_bytes(&farm.store, layer),
        images: Vec::new(),
    })
}

fn sum(images: &[Named], layers: BTreeMap<LayerDigest, Held>) -> SharedBytes {
    let mut rows: Vec<_> = images
        .iter()
        .map(|image| SharingRow {
            names: image.names.clone(),
            id: image.id.clone(),
            bytes: 0,
            own_bytes: 0,
            shared_bytes: 0,
        })
        .collect();
    let (mut shared, mut bytes, mut bytes_apart) = (Vec::new(), 0_u64, 0_u64);
    for held in layers.into_values() {
        let weight = held.layer.bytes;
        let several = held.images.len() > 1;
        bytes = bytes.saturating_add(weight);
        for place in &held.images {
            bytes_apart = bytes_apart.saturating_add(weight);
            let Some(row) = rows.get_mut(*place) else { continue };
            row.bytes = row.bytes.saturating_add(weight);
            let part = if several { &mut row.shared_bytes } else { &mut row.own_bytes };
            *part = part.saturating_add(weight);
        }
        if several {
            let first = |place: &usize| images.get(*place).and_then(|image| image.names.first()).cloned();
            let names = held.images.iter().filter_map(first).collect();
            shared.push(SharedLayer { images: names, ..held.layer });
        }
    }
    shared.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.digest.cmp(&b.digest)));
    let more = u64::try_from(shared.len().saturating_sub(MOST_LAYERS)).unwrap_or(u64::MAX);
    shared.truncate(MOST_LAYERS);
    SharedBytes { images: rows, layers: shared, more, bytes, bytes_apart }
}
