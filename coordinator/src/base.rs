//! Source images: from a reference to layers in the store.
//!
//! An image that this farm built wins. Of others a tag is asked for again when the last answer is older than the time to
//! live, so a rebuild does not wait for a registry. Layers are pulled only when a step needs the tree; each image once a
//! build, whoever asks first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use farm_model::graph::Image;
use farm_model::{BuildEvent, ImageConfig, ImageSource, OciDigest, Reference};
use farm_oci::layout::Selector;
use farm_oci::pull::{OnProgress, Progress};
use farm_oci::{Resolved, Source, pull_base};
use farm_store::{Store, Tag};

use crate::build::{Farm, blocking, now};
use crate::images::Record;
use crate::report::{Reporter, micros_since};
use crate::stage::{ChainLayer, State};
use crate::transfer::sources;
use crate::{Error, Request, images, waiting};

/// A source image that was found.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// In a registry or a layout.
    Remote(Box<Resolved>),
    /// One of this farm's own.
    Built(Box<Record>),
}

impl Known {
    /// The configuration that a stage inherits.
    pub(crate) fn config(&self) -> &ImageConfig {
        match self {
            Self::Remote(resolved) => &resolved.config,
            Self::Built(record) => &record.image.config,
        }
    }

    /// The manifest's digest, where there is a manifest.
    pub(crate) fn manifest(&self) -> Option<OciDigest> {
        match self {
            Self::Remote(resolved) => Some(resolved.digest),
            Self::Built(_) => None,
        }
    }

    fn digest(&self) -> String {
        match self {
            Self::Remote(resolved) => resolved.digest.to_string(),
            Self::Built(record) => record.id(),
        }
    }
}

/// Finds the manifest and configuration of `image`.
pub(crate) async fn resolve(
    farm: &Farm,
    request: &Request,
    image: &Image,
    reporter: &Reporter,
) -> Result<Arc<Known>, Error> {
    let started = Instant::now();
    let known = match &image.source {
        ImageSource::Registry(reference) => {
            let what = format!("the registry `{}` to say what `{reference}` is", reference.registry);
            let resolving = Box::pin(resolve_name(farm, request.pull, reference, image));
            waiting::told(reporter, &what, &waiting::Exchange, resolving).await
        }
        ImageSource::OciLayout { path, reference } => {
            let layout = request.layouts.open(&farm.store, path, reference.as_deref()).await;
            match layout {
                Ok(layout) => {
                    let (selector, platform) = (selector(reference.as_deref()), image.platform.clone());
                    blocking(move || Ok(Known::Remote(Box::new(layout.resolve(&selector, &platform)?)))).await
                }
                Err(error) => Err(error),
            }
        }
    };
    let known = known.map_err(|error| named(image, error))?;
    let (name, digest) = (image.source.to_string(), known.digest());
    reporter.send(BuildEvent::ImageResolved { name, digest, micros: micros_since(started) }).await;
    Ok(Arc::new(known))
}

/// Finds what a name stands for: here, else in its registry.
pub(crate) async fn resolve_name(
    farm: &Farm,
    pull: bool,
    reference: &Reference,
    image: &Image,
) -> Result<Known, Error> {
    if let Some(record) = images::named(farm, reference)?
        && record.image.config.platform == image.platform
        // What was only taken in may have moved on where it came from.
        && (!pull || record.build.is_some())
    {
        return Ok(Known::Built(Box::new(record)));
    }
    resolve_tag(farm, pull, reference, image).await.map(|resolved| Known::Remote(Box::new(resolved)))
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

pub(crate) async fn resolve_tag(
    farm: &Farm,
    pull: bool,
    reference: &Reference,
    image: &Image,
) -> Result<Resolved, Error> {
    let name = format!("{reference} {}", image.platform);
    if !pull
        && let Some(tag) = farm.store.tag(&name)?
        && is_fresh(&tag, farm, reference)
        && let Ok(resolved) = Resolved::decode(&tag.bytes)
    {
        return Ok(resolved);
    }
    let resolved = farm.registry.resolve(reference, &image.platform).await?;
    farm.store.put_tag(&name, &Tag { bytes: resolved.encode(), time: now() })?;
    sources::remember(&farm.store, reference, resolved.layers.iter().map(|layer| &layer.descriptor.digest))?;
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
    request: &Request,
    image: &Image,
    known: &Known,
    reporter: &Reporter,
) -> Result<State, Error> {
    let resolved = match known {
        Known::Built(record) => return images::state(farm, record).await,
        Known::Remote(resolved) => resolved,
    };
    if let Some(state) = farm.bases.known(&resolved.digest) {
        let store = farm.store.clone();
        // After a prune that walks whole trees.
        let whole = blocking(move || Ok(is_whole(&store, &state).then_some(state))).await?;
        if let Some(state) = whole {
            return Ok(state);
        }
    }
    let source = match &image.source {
        ImageSource::Registry(reference) => {
            Source::Registry { client: Arc::clone(&farm.registry), reference: reference.clone() }
        }
        ImageSource::OciLayout { path, reference } => {
            let layout = request.layouts.open(&farm.store, path, reference.as_deref()).await?;
            request.layouts.bring_layers(&farm.store, path, resolved).await?;
            Source::Layout(layout)
        }
    };
    let state = fetch(farm, &image.source.to_string(), source, resolved, reporter)
        .await
        .map_err(|error| named(image, error))?;
    farm.bases.remember(resolved.digest, &state);
    Ok(state)
}

/// Pulls from `source`, reporting each layer as it arrives.
pub(crate) async fn fetch(
    farm: &Farm,
    name: &str,
    source: Source,
    resolved: &Resolved,
    reporter: &Reporter,
) -> Result<State, Error> {
    let (unpacked, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let started = Instant::now();
    let parts = Arc::new(waiting::Parts::default());
    let (arriving, sizes) = (Arc::clone(&parts), resolved.layers.iter().map(|layer| layer.descriptor.size));
    let sizes: Vec<u64> = sizes.collect();
    let on_progress: OnProgress = Arc::new(move |progress| match progress {
        Progress::Received { layer, bytes } => {
            let size = sizes.get(layer).copied().unwrap_or_default();
            arriving.left(layer, size.saturating_sub(bytes));
        }
        // The receiver lives as long as the pull.
        Progress::Unpacked { layer } => {
            arriving.left(layer, 0);
            let _late = unpacked.send(layer);
        }
    });
    let pull = Box::pin(pull_base(&source, resolved, &farm.store, &farm.options.limits, &on_progress));
    let what = format!("layers of `{name}`");
    let pull = waiting::told(reporter, &what, &*parts, pull);
    tokio::pin!(pull);
    let report = async |layer: usize| {
        let bytes = resolved.layers.get(layer).map_or(0, |layer| layer.descriptor.size);
        let event = BuildEvent::LayerPulled { image: name.to_owned(), bytes, micros: micros_since(started) };
        reporter.send(event).await;
    };
    let base = loop {
        tokio::select! {
            biased;
            Some(layer) = arrived.recv() => report(layer).await,
            base = &mut pull => break base?,
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

/// Base images that were pulled before: a rebuild does not put them together again.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    states: Mutex<HashMap<OciDigest, State>>,
}

/// How many base images are remembered.
const MOST_BASES: usize = 256;

impl Bases {
    /// The state of a stage that starts from the image; some of it may have gone from the store since.
    fn known(&self, manifest: &OciDigest) -> Option<State> {
        self.states().get(manifest).cloned()
    }

    fn remember(&self, manifest: OciDigest, state: &State) {
        let mut states = self.states();
        if states.len() >= MOST_BASES {
            states.clear();
        }
        states.insert(manifest, state.clone());
    }

    fn states(&self) -> MutexGuard<'_, HashMap<OciDigest, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all of a base image is in the store.
fn is_whole(store: &Store, state: &State) -> bool {
    let kept = |layer: &ChainLayer| store.is_complete(&layer.layer.digest).unwrap_or(false);
    let merged = store.tree(&state.merged.layer_digest()).is_ok_and(|tree| tree.is_some());
    merged && state.layers.iter().all(kept)
}
