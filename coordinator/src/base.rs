//! Source images: from a reference to layers in the store.
//!
//! A tag is asked for again when the last answer is older than the time to live, so a rebuild does not wait for a registry.
//! Layers are pulled only when a step needs the tree; each image once a build, whoever asks first.

use std::sync::Arc;
use std::time::Instant;

use farm_model::graph::Image;
use farm_model::{BuildEvent, ImageConfig, ImageSource, Reference};
use farm_oci::layout::Selector;
use farm_oci::pull::{OnProgress, Progress};
use farm_oci::{Layout, Resolved, Source, pull_base};
use farm_store::Tag;

use crate::build::{Farm, blocking, now};
use crate::report::{Reporter, micros_since};
use crate::stage::{ChainLayer, State};
use crate::{Error, Request};

/// Finds the manifest and configuration of `image`.
pub(crate) async fn resolve(
    farm: &Farm,
    request: &Request,
    image: &Image,
    reporter: &Reporter,
) -> Result<Arc<Resolved>, Error> {
    let started = Instant::now();
    let resolved = match &image.source {
        ImageSource::Registry(reference) => resolve_tag(farm, request, reference, image).await,
        ImageSource::OciLayout { path, reference } => {
            let (path, selector, platform) =
                (path.clone(), selector(reference.as_deref()), image.platform.clone());
            blocking(move || Ok(Layout::open(path.as_ref())?.resolve(&selector, &platform)?)).await
        }
    };
    let resolved = resolved.map_err(|error| named(image, error))?;
    let name = image.source.to_string();
    let digest = resolved.digest.to_string();
    reporter.send(BuildEvent::ImageResolved { name, digest, micros: micros_since(started) }).await;
    Ok(Arc::new(resolved))
}

fn selector(reference: Option<&str>) -> Selector {
    match reference {
        None => Selector::Default,
        Some(text) => text.parse().map_or_else(|_| Selector::Tag(text.to_owned()), Selector::Digest),
    }
}

/// Says which image it was, once.
fn named(image: &Image, error: Error) -> Error {
    if let Error::Oci(source) = error {
        Error::Image { image: image.source.to_string(), source }
    } else {
        error
    }
}

async fn resolve_tag(
    farm: &Farm,
    request: &Request,
    reference: &Reference,
    image: &Image,
) -> Result<Resolved, Error> {
    let name = format!("{reference} {}", image.platform);
    if !request.pull
        && let Some(tag) = farm.store.tag(&name)?
        && is_fresh(&tag, farm, reference)
        && let Ok(resolved) = Resolved::decode(&tag.bytes)
    {
        return Ok(resolved);
    }
    let resolved = farm.registry.resolve(reference, &image.platform).await?;
    farm.store.put_tag(&name, &Tag { bytes: resolved.encode(), time: now() })?;
    Ok(resolved)
}

/// What a digest names never changes; what a tag names is believed for a while.
fn is_fresh(tag: &Tag, farm: &Farm, reference: &Reference) -> bool {
    let age = now().saturating_sub(tag.time);
    reference.digest.is_some()
        || (0..i64::try_from(farm.options.resolve_ttl.as_nanos()).unwrap_or(i64::MAX)).contains(&age)
}

/// Brings the layers of `image` into the store, and gives the state of a stage that starts from it.
pub(crate) async fn pull(
    farm: &Farm,
    image: &Image,
    resolved: &Resolved,
    reporter: &Reporter,
) -> Result<State, Error> {
    let source = match &image.source {
        ImageSource::Registry(reference) => {
            Source::Registry { client: Arc::clone(&farm.registry), reference: reference.clone() }
        }
        ImageSource::OciLayout { path, .. } => {
            let path = path.clone();
            Source::Layout(blocking(move || Ok(Layout::open(path.as_ref())?)).await?)
        }
    };
    let name = image.source.to_string();
    let (unpacked, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let started = Instant::now();
    let on_progress: OnProgress = Arc::new(move |progress| {
        if let Progress::Unpacked { layer } = progress {
            // The receiver lives as long as the pull.
            let _late = unpacked.send(layer);
        }
    });
    let pull = pull_base(&source, resolved, &farm.store, &farm.options.limits, &on_progress);
    tokio::pin!(pull);
    let report = async |layer: usize| {
        let bytes = resolved.layers.get(layer).map_or(0, |layer| layer.descriptor.size);
        let event = BuildEvent::LayerPulled { image: name.clone(), bytes, micros: micros_since(started) };
        reporter.send(event).await;
    };
    let base = loop {
        tokio::select! {
            biased;
            Some(layer) = arrived.recv() => report(layer).await,
            base = &mut pull => break base.map_err(|error| named(image, error.into()))?,
        }
    };
    while let Ok(layer) = arrived.try_recv() {
        report(layer).await;
    }
    let (store, merged) = (farm.store.clone(), base.tree.clone());
    blocking(move || Ok(store.put_tree(&merged)?)).await?;
    let layers = base
        .layers
        .iter()
        .zip(&resolved.layers)
        .map(|(layer, descriptor)| ChainLayer { layer: *layer, base: Some(descriptor.clone()) })
        .collect();
    Ok(State { layers, merged: base.tree, history: resolved.history.clone() })
}

/// The configuration that a stage inherits.
pub(crate) fn config(resolved: &Resolved) -> ImageConfig {
    resolved.config.clone()
}
