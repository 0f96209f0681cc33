//! Images that have a name: what a build with `--tag` leaves, and what can be asked of it. Everything here is metadata; the
//! bytes are layers like any other, pinned by the record.

pub(crate) mod budget;
mod describe;
mod query;
mod record;
mod sharing;
mod trend;

use std::sync::Arc;

use farm_model::event::StageSize;
use farm_model::{BuildEvent, BuildId, OciDigest, Reference};
use farm_oci::ImageLayer;
use farm_proto::client::Reply;
use farm_store::{Mark, Store};

use crate::Error;
use crate::build::{Farm, blocking};
use crate::image::Finished;
use crate::stage::{ChainLayer, Shared, State};

pub(crate) use query::{compare, entries, waste};
pub(crate) use record::Record;
pub(crate) use sharing::sharing;
pub(crate) use trend::put;

/// Gives a finished image its names. What had them before is remembered by its size.
pub(crate) async fn record(
    shared: &Shared,
    finished: &Finished,
    names: &[Reference],
    build: BuildId,
    config: Option<OciDigest>,
) -> Result<(), Error> {
    let (farm, names) = (Arc::clone(&shared.farm), names.to_vec());
    let (mut stages, mut discarded) = (Vec::<StageSize>::new(), 0);
    if let BuildEvent::Completed { stages: weighed, discarded_bytes, .. } = &finished.event {
        (stages, discarded) = (weighed.clone(), *discarded_bytes);
    }
    let record = Record {
        image: finished.image.clone(),
        merged: finished.merged.layer_ref(),
        bytes: finished.merged.root.record.bytes,
        build: Some(build),
        stages,
        discarded,
        previous: None,
        config,
        named: 0,
        trend: Vec::new(),
    };
    blocking(move || {
        for name in names {
            put(&farm.store, &name.familiar(), record.clone())?;
        }
        Ok(())
    })
    .await
}

/// The image of that name; none when the farm has none, or when the name is one of a digest.
pub(crate) fn named(farm: &Farm, name: &Reference) -> Result<Option<Record>, Error> {
    if name.digest.is_some() { Ok(None) } else { find(&farm.store, &name.familiar()) }
}

/// The state of a stage that starts from an image of the farm's own.
pub(crate) async fn state(farm: &Farm, record: &Record) -> Result<State, Error> {
    let (store, merged) = (farm.store.clone(), record.merged.digest);
    let tree = blocking(move || Ok(store.tree(&merged)?)).await?;
    let layer = |layer: &ImageLayer| match layer {
        ImageLayer::Base { descriptor, layer } => {
            ChainLayer { layer: *layer, base: Some(descriptor.clone()) }
        }
        ImageLayer::Built(layer) => ChainLayer { layer: *layer, base: None },
    };
    Ok(State {
        layers: record.image.layers.iter().map(layer).collect(),
        merged: tree.ok_or(Error::LayerLost(vec![merged]))?,
        history: record.image.history.clone(),
    })
}

/// Every image that has a name, by name.
pub(crate) async fn list(farm: &Arc<Farm>) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let all = all(&farm)?;
        Ok(Reply::Images(
            all.iter().map(|(name, record)| describe::summary(&farm.store, name, record)).collect(),
        ))
    })
    .await
}

/// Everything about one image.
pub(crate) async fn inspect(farm: &Arc<Farm>, image: &str) -> Result<Reply, Error> {
    let (farm, image) = (Arc::clone(farm), image.to_owned());
    blocking(move || {
        let (name, record) = look_up(&farm, &image)?;
        let names = all(&farm)?.into_iter().filter(|(_, other)| other.id() == record.id());
        let names = names.map(|(name, _)| name).collect();
        Ok(Reply::Image(Box::new(describe::details(&farm.store, &name, names, &record)?)))
    })
    .await
}

/// Gives an image another name.
pub(crate) async fn tag(farm: &Arc<Farm>, image: &str, name: &Reference) -> Result<Reply, Error> {
    let (farm, image, name) = (Arc::clone(farm), image.to_owned(), name.familiar());
    blocking(move || {
        let (_, record) = look_up(&farm, &image)?;
        put(&farm.store, &name, record)?;
        Ok(Reply::Done)
    })
    .await
}

/// Takes names away, all or none; an id stands for all names of its image.
pub(crate) async fn remove(farm: &Arc<Farm>, images: Vec<String>) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let all = all(&farm)?;
        let mut names = Vec::new();
        for image in &images {
            let name = image.parse::<Reference>().map(|name| name.familiar());
            if let Some((known, _)) = all.iter().find(|(known, _)| name.as_ref() == Ok(known)) {
                names.push(known.clone());
                continue;
            }
            let (_, record) = look_up(&farm, image)?;
            names.extend(
                all.iter().filter(|(_, other)| other.id() == record.id()).map(|(name, _)| name.clone()),
            );
        }
        names.sort();
        names.dedup();
        let pinned = |name: &&String| farm.store.has_mark(Mark::PinnedImage, name).unwrap_or(true);
        if let Some(name) = names.iter().find(pinned) {
            return Err(Error::Pinned(name.clone()));
        }
        for name in &names {
            farm.store.remove_image(name)?;
        }
        Ok(Reply::Removed(names))
    })
    .await
}

/// Every named image; fails when a later version wrote one of them.
pub(crate) fn every(farm: &Farm) -> Result<Vec<(String, Record)>, Error> {
    let decode = |(name, bytes): (String, Vec<u8>)| {
        let record = Record::decode(&bytes).map_err(|_| Error::NewerImage(name.clone()))?;
        Ok((name, record))
    };
    farm.store.images()?.into_iter().map(decode).collect()
}

/// Every named image. A record that a later version wrote is left out, not lost.
pub(crate) fn all(farm: &Farm) -> Result<Vec<(String, Record)>, Error> {
    let rows = farm.store.images()?.into_iter();
    Ok(rows.filter_map(|(name, bytes)| Some((name, Record::decode(&bytes).ok()?))).collect())
}

/// The image that a person means: by its name, else by the beginning of its id.
pub(crate) fn look_up(farm: &Farm, text: &str) -> Result<(String, Record), Error> {
    if let Ok(name) = text.parse::<Reference>()
        && let Some(record) = named(farm, &name)?
    {
        return Ok((name.familiar(), record));
    }
    let mut found: Vec<_> = all(farm)?.into_iter().filter(|(_, record)| is_beginning(text, record)).collect();
    found.dedup_by_key(|(_, record)| record.id());
    match (found.pop(), found.is_empty()) {
        (Some(image), true) => Ok(image),
        (Some(_), false) => Err(Error::AmbiguousImage(text.to_owned())),
        (None, _) => Err(Error::NoSuchImage(text.to_owned())),
    }
}

/// Fewer digits of an id name nothing: they may well be a name that was mistyped.
const FEWEST_DIGITS: usize = 4;

fn is_beginning(text: &str, record: &Record) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let hexadecimal = digits.len() >= FEWEST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let config = record.config.map(|digest| digest.to_string());
    hexadecimal
        && (record.id().starts_with(digits) || config.is_some_and(|text| text[7..].starts_with(digits)))
}

fn find(store: &Store, name: &str) -> Result<Option<Record>, Error> {
    Ok(store.image(name)?.and_then(|bytes| Record::decode(&bytes).ok()))
}
