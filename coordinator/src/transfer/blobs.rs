//! Compressed layers of base images that are not kept any more: brought again from a registry that is known to have had
//! them, as soon as an export needs their bytes. What does not have the right digest is refused by the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use farm_model::OciDigest;
use farm_oci::pull::fetch_layers;
use farm_oci::resolved::LayerDescriptor;
use farm_oci::{Image, ImageLayer, Source};

use super::sources;
use crate::Error;
use crate::build::{Farm, blocking};
use crate::report::micros_since;

/// What was brought from one repository.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    /// The repository.
    pub(crate) from: String,
    /// Compressed bytes.
    pub(crate) bytes: u64,
    pub(crate) micros: u64,
}

/// Has the compressed bytes of every base layer of `image` here.
pub(crate) async fn ensure(farm: &Farm, image: &Image) -> Result<Vec<Brought>, Error> {
    let base = image.layers.iter().filter_map(|layer| match layer {
        ImageLayer::Base { descriptor, .. } => Some(descriptor.clone()),
        ImageLayer::Built(_) => None,
    });
    bring(farm, base.collect()).await
}

/// Has the compressed bytes of `layers` here. Each repository that is known to have one of them is asked once.
pub(super) async fn bring(farm: &Farm, layers: Vec<LayerDescriptor>) -> Result<Vec<Brought>, Error> {
    let (mut asked, mut brought, mut cause) = (BTreeSet::new(), Vec::new(), None);
    loop {
        let missing = missing(farm, &layers).await?;
        let Some(first) = missing.first().map(|layer| layer.descriptor.digest) else { return Ok(brought) };
        let known = known_sources(farm, &missing).await?;
        let next = known.into_iter().find(|(reference, _)| asked.insert(reference.familiar()));
        let Some((reference, digests)) = next else {
            return Err(Error::BaseBlobGone { digest: first, cause });
        };
        let wanted: Vec<_> =
            missing.into_iter().filter(|layer| digests.contains(&layer.descriptor.digest)).collect();
        let (started, from) = (Instant::now(), reference.familiar());
        let source = Source::Registry { client: Arc::clone(&farm.registry), reference };
        match fetch_layers(&source, &wanted, &farm.store).await {
            Ok(()) => {
                let bytes = wanted.iter().map(|layer| layer.descriptor.size).sum();
                brought.push(Brought { from, bytes, micros: micros_since(started) });
            }
            // Another repository may have it; a full disk is the same everywhere.
            Err(error @ (farm_oci::Error::Registry { .. } | farm_oci::Error::AllFailed { .. })) => {
                tracing::warn!(from, %error, "a layer cannot be had again");
                cause = Some(Arc::new(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn missing(farm: &Farm, layers: &[LayerDescriptor]) -> Result<Vec<LayerDescriptor>, Error> {
    let (store, layers) = (farm.store.clone(), layers.to_vec());
    blocking(move || {
        let mut missing = Vec::new();
        for layer in layers {
            if store.has_oci_blob(&layer.descriptor.digest)?.is_none() {
                missing.push(layer);
            }
        }
        Ok(missing)
    })
    .await
}

/// Repositories, each with those of `layers` that it is known to have had.
async fn known_sources(
    farm: &Farm,
    layers: &[LayerDescriptor],
) -> Result<Vec<(farm_model::Reference, BTreeSet<OciDigest>)>, Error> {
    let digests: BTreeSet<_> = layers.iter().map(|layer| layer.descriptor.digest).collect();
    let store = farm.store.clone();
    blocking(move || sources::with_any(&store, &digests)).await
}
