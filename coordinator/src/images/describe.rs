//! Images in the words of the protocol.

use farm_oci::config::write_config;
use farm_oci::{Image, ImageLayer};
use farm_proto::image::{HistoryRow, ImageDetails, ImageSummary, LayerDetails, StageRow, TrendPoint};
use farm_store::{Mark, Store};

use super::Record;
use crate::Error;

/// An image in a list.
pub(super) fn summary(store: &Store, name: &str, record: &Record) -> ImageSummary {
    ImageSummary {
        name: name.to_owned(),
        id: record.id(),
        config: record.config.map(|digest| digest.to_string()),
        created: record.created(),
        platform: record.image.config.platform.clone(),
        bytes: record.bytes,
        packed_bytes: all_packed_bytes(store, record),
        previous_bytes: record.previous,
        discarded_bytes: record.discarded,
        layers: u32::try_from(record.image.layers.len()).unwrap_or(u32::MAX),
        build: record.build,
        trend: record.trend.iter().map(|point| point.bytes).chain([record.bytes]).collect(),
        pinned: store.has_mark(Mark::PinnedImage, name).unwrap_or(false),
    }
}

/// Everything about an image.
pub(super) fn details(
    store: &Store,
    name: &str,
    names: Vec<String>,
    record: &Record,
) -> Result<ImageDetails, Error> {
    let mut layers = Vec::with_capacity(record.image.layers.len());
    for layer in &record.image.layers {
        let digest = layer.layer().digest;
        let root = store.tree(&digest)?.map(|tree| tree.root.record);
        layers.push(LayerDetails {
            digest: digest.to_string(),
            bytes: root.map_or(0, |root| root.bytes),
            entries: root.map_or(0, |root| root.entries),
            packed_bytes: packed_bytes(store, layer),
            base: matches!(layer, ImageLayer::Base { .. }),
        });
    }
    let mut sizes = layers.iter().map(|layer| layer.bytes);
    let history = record.image.history.iter().map(|entry| HistoryRow {
        created: entry.created,
        created_by: entry.created_by.clone(),
        comment: entry.comment.clone(),
        bytes: if entry.empty_layer { None } else { sizes.next() },
    });
    let history = history.collect();
    let stages = record.stages.iter().map(|stage| StageRow {
        stage: stage.stage.clone(),
        bytes: stage.bytes,
        kept: stage.kept,
    });
    let config = write_config(&record.image.config, &record.image.history, &[]);
    Ok(ImageDetails {
        summary: summary(store, name, record),
        names,
        config: String::from_utf8_lossy(&config).into_owned(),
        layers,
        history,
        stages: stages.collect(),
        trend: record.trend.iter().cloned().chain([point(store, record)]).collect(),
    })
}

/// The image as a point of its name's trend.
pub(super) fn point(store: &Store, record: &Record) -> TrendPoint {
    TrendPoint {
        time: record.named,
        bytes: record.bytes,
        packed_bytes: all_packed_bytes(store, record),
        build: record.build,
    }
}

/// The instruction that made each layer, the lowest first; empty where the image does not say.
pub(super) fn instructions(image: &Image) -> Vec<String> {
    let mut made = image.history.iter().filter(|entry| !entry.empty_layer);
    image
        .layers
        .iter()
        .map(|_| made.next().map_or_else(String::new, |entry| entry.created_by.clone()))
        .collect()
}

/// Compressed bytes of all layers; none before each of them was packed.
fn all_packed_bytes(store: &Store, record: &Record) -> Option<u64> {
    let packed: Option<Vec<u64>> =
        record.image.layers.iter().map(|layer| packed_bytes(store, layer)).collect();
    packed.map(|sizes| sizes.iter().sum())
}

/// Compressed bytes of a layer: what its registry had, else the smallest form in which it was packed.
pub(super) fn packed_bytes(store: &Store, layer: &ImageLayer) -> Option<u64> {
    match layer {
        ImageLayer::Base { descriptor, .. } => Some(descriptor.descriptor.size),
        ImageLayer::Built(layer) => {
            let forms = store.packed_forms(&layer.digest).ok()?;
            // An uncompressed form says nothing about what a registry would hold.
            forms.iter().filter(|(codec, _)| !codec.starts_with("plain")).map(|(_, packed)| packed.size).min()
        }
    }
}
