//! Images of registries are kept in the farm under their name.

use std::sync::Arc;

use farm_model::ImageSource;
use farm_model::graph::Image as Wanted;
use farm_oci::pull::{OnProgress, pull_base};
use farm_oci::{Image, ImageLayer, Resolved, Source};
use farm_proto::client::Reply;
use farm_proto::transfer::PullRequest;

use super::Counter;
use crate::build::{Farm, blocking};
use crate::images::{self, Record};
use crate::{Error, base};

/// One `farm pull`.
pub(super) async fn answer(
    farm: &Arc<Farm>,
    request: PullRequest,
    counter: &Counter,
) -> Result<Reply, Error> {
    let PullRequest { name, platform } = request;
    let wanted = Wanted { source: ImageSource::Registry(name.clone()), platform };
    let resolved = base::resolve_tag(farm, true, &name, &wanted).await?;
    let source = Source::Registry { client: Arc::clone(&farm.registry), reference: name.clone() };
    let name = name.familiar();
    keep(farm, &source, &resolved, std::slice::from_ref(&name), &counter.pulling()).await?;
    images::inspect(farm, &name).await
}

/// Brings the layers of an image into the store, and gives it its names.
pub(super) async fn keep(
    farm: &Farm,
    source: &Source,
    resolved: &Resolved,
    names: &[String],
    on_progress: &OnProgress,
) -> Result<Record, Error> {
    let pulled = pull_base(source, resolved, &farm.store, &farm.options.limits, on_progress).await?;
    let layers = resolved
        .layers
        .iter()
        .zip(&pulled.layers)
        .map(|(descriptor, layer)| ImageLayer::Base { descriptor: descriptor.clone(), layer: *layer })
        .collect();
    let record = Record {
        image: Image { config: resolved.config.clone(), history: resolved.history.clone(), layers },
        merged: pulled.tree.layer_ref(),
        bytes: pulled.tree.root.record.bytes,
        build: None,
        stages: Vec::new(),
        discarded: 0,
        previous: None,
        config: Some(resolved.manifest.config.digest),
        named: 0,
        trend: Vec::new(),
    };
    let (store, names, kept) = (farm.store.clone(), names.to_vec(), record.clone());
    blocking(move || {
        store.put_tree(&pulled.tree)?;
        for name in names {
            images::put(&store, &name, kept.clone())?;
        }
        Ok(())
    })
    .await?;
    Ok(record)
}
