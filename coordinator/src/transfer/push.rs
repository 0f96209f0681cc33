//! Images of the farm get a name in a registry.

use farm_model::Reference;
use farm_oci::Assembled;
use farm_oci::image::Timestamps;
use farm_oci::push::{OnProgress, PushOptions, Pushed, Pusher};
use farm_proto::client::Reply;
use farm_proto::transfer::{PushRequest, PushedImage};

use super::{Counter, image, sources};
use crate::Error;
use crate::build::Farm;
use crate::output;

/// Pushes an image that is put together, and remembers what the repository has now.
pub(crate) async fn push(
    farm: &Farm,
    image: &Assembled,
    name: &Reference,
    on_progress: &OnProgress,
) -> Result<Pushed, Error> {
    let blobs = || image.layers.iter().map(|layer| &layer.descriptor.digest);
    let sources = sources::of(&farm.store, name, blobs())?;
    let options = PushOptions { sources, ..PushOptions::default() };
    let pusher = Pusher { client: &farm.registry, store: &farm.store, options: &options, on_progress };
    let pushed = pusher.push(image, name).await?;
    sources::remember(&farm.store, name, blobs())?;
    Ok(pushed)
}

/// One `farm push`.
pub(super) async fn answer(farm: &Farm, request: PushRequest, counter: &Counter) -> Result<Reply, Error> {
    let (_, record) = image(farm, &request.image).await?;
    let image = super::assemble(farm, record, output::options(request.packing, Timestamps::Keep)).await?;
    let pushed = push(farm, &image, &request.name, &counter.pushing()).await?;
    Ok(Reply::Pushed(Box::new(PushedImage {
        name: request.name.familiar(),
        digest: image.descriptor.digest,
        uploaded: pushed.uploaded.0 as u64,
        uploaded_bytes: pushed.uploaded.1,
        mounted: pushed.mounted.0 as u64,
        present: pushed.present.0 as u64,
    })))
}
