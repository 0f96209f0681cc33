//! Images of the farm get a name in a registry.

use farm_model::Reference;
use farm_oci::Assembled;
use farm_oci::image::Timestamps;
use farm_oci::push::{OnProgress, PushOptions, Pushed, Pusher};
use farm_proto::client::Reply;
use farm_proto::transfer::{PushRequest, PushedImage};

use super::{Counter, blobs, image, sources};
use crate::Error;
use crate::build::Farm;
use crate::output;

/// Pushes an image that is put together, and remembers what the repository has now. Layers of a base that neither the
/// registry nor the store has are brought from where they came.
pub(crate) async fn push(
    farm: &Farm,
    image: &Assembled,
    name: &Reference,
    on_progress: &OnProgress,
) -> Result<Pushed, Error> {
    let digests = || image.layers.iter().map(|layer| &layer.descriptor.digest);
    let sources = sources::of(&farm.store, name, digests())?;
    let options = PushOptions { sources, ..PushOptions::default() };
    let pusher = Pusher { client: &farm.registry, store: &farm.store, options: &options, on_progress };
    // Each round brings another layer; what was pushed before it is there in the next.
    let pushed = loop {
        match pusher.push(image, name).await {
            Err(farm_oci::Error::MissingBaseBlob(digest)) => {
                let wanted = image.layers.iter().find(|layer| layer.descriptor.digest == digest).cloned();
                let _brought = blobs::bring(farm, wanted.into_iter().collect()).await?;
            }
            pushed => break pushed?,
        }
    };
    sources::remember(&farm.store, name, digests())?;
    Ok(pushed)
}

/// One `farm push`.
pub(super) async fn answer(farm: &Farm, request: PushRequest, counter: &Counter) -> Result<Reply, Error> {
    let (_, record) = image(farm, &request.image).await?;
    let options = output::options(request.packing, Timestamps::Keep);
    let mut tries = output::TRIES + record.image.layers.len();
    let (image, pushed) = loop {
        let image = super::assemble(farm, &record, options).await?;
        match push(farm, &image, &request.name, &counter.pushing()).await {
            Err(error) if error.is_loss() && tries > 1 => tries -= 1,
            pushed => break (image, pushed?),
        }
    };
    Ok(Reply::Pushed(Box::new(PushedImage {
        name: request.name.familiar(),
        digest: image.descriptor.digest,
        uploaded: pushed.uploaded.0 as u64,
        uploaded_bytes: pushed.uploaded.1,
        mounted: pushed.mounted.0 as u64,
        present: pushed.present.0 as u64,
    })))
}
