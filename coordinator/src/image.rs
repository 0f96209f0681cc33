//! What a finished build adds up to: the image and the sizes of its stages.

use std::collections::BTreeSet;

use farm_model::event::StageSize;
use farm_model::{BuildEvent, History};
use farm_oci::{Image, ImageLayer};
use farm_tree::Tree;

use crate::Error;
use crate::build::blocking;
use crate::stage::{ChainLayer, Shared, State};

/// The image and the event that announces it.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) image: Image,
    pub(crate) merged: Tree,
    pub(crate) event: BuildEvent,
}

/// Puts the image of the target together. Every stage is done when this is called.
pub(crate) async fn assemble(shared: &Shared) -> Result<Finished, Error> {
    let mut stages = Vec::with_capacity(shared.graph.stages.len());
    for stage in &shared.graph.stages {
        let root = shared.stage(stage.id).await?.merged.root.record;
        let kept = stage.id == shared.graph.target;
        stages.push(StageSize { stage: stage.label(), bytes: root.bytes, entries: root.entries, kept });
    }
    let target =
        shared.graph.stage(shared.graph.target).ok_or_else(|| Error::NotPlanned("the target".to_owned()))?;
    let state = shared.stage(target.id).await?;
    let mut config = target.config.clone();
    config.created = created(&state.history);
    let image = Image {
        config,
        history: state.history.clone(),
        layers: state.layers.iter().map(image_layer).collect(),
    };
    let image_bytes = state.merged.root.record.bytes;
    let merged = state.merged.clone();
    let discarded_bytes = discarded(shared, &state).await?;
    Ok(Finished { image, merged, event: BuildEvent::Completed { stages, image_bytes, discarded_bytes } })
}

/// Bytes of the layers that some stage has and `image` has not, each layer once.
async fn discarded(shared: &Shared, image: &State) -> Result<u64, Error> {
    let kept: BTreeSet<_> = image.layer_refs().iter().map(|layer| layer.digest).collect();
    let mut discarded = BTreeSet::new();
    for stage in &shared.graph.stages {
        let state = shared.stage(stage.id).await?;
        discarded.extend(
            state.layer_refs().iter().map(|layer| layer.digest).filter(|layer| !kept.contains(layer)),
        );
    }
    let store = shared.farm.store.clone();
    blocking(move || {
        let mut bytes = 0_u64;
        for layer in discarded {
            bytes = bytes.saturating_add(store.tree(&layer)?.map_or(0, |tree| tree.root.record.bytes));
        }
        Ok(bytes)
    })
    .await
}

/// An image is as old as the newest thing in it, so that the same build gives the same image.
fn created(history: &[History]) -> Option<i64> {
    history.iter().filter_map(|entry| entry.created).max()
}

fn image_layer(chain: &ChainLayer) -> ImageLayer {
    match &chain.base {
        Some(descriptor) => ImageLayer::Base { descriptor: descriptor.clone(), layer: chain.layer },
        None => ImageLayer::Built(chain.layer),
    }
}
