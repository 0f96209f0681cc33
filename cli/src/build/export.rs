//! Writing a result where `--output` says. Everything appears whole or not at all.

use std::io::Write;
use std::path::Path;

use farm_coordinator::Built;
use farm_model::{OciDigest, Reference};
use farm_oci::export::{self, AtomicFile};
use farm_oci::image::{AssembleOptions, Assembled, Timestamps};
use farm_store::Store;
use farm_tree::Mtime;

use crate::build::output::{Compression, Destination, Kind, Output};
use crate::failure::{Failure, chain};

const NANOS: i64 = 1_000_000_000;

/// Writes every output, and gives the image's id.
pub(super) async fn write_all(
    built: &Built,
    store: &Store,
    outputs: &[Output],
    tags: &[Reference],
    wants_id: bool,
) -> Result<Option<OciDigest>, Failure> {
    let mut id = None;
    for output in outputs {
        let (image, store, output, tags) = (built.clone(), store.clone(), output.clone(), tags.to_vec());
        let assembled = blocking(move || write(&image, &store, &output, &tags)).await?;
        id = id.or(assembled);
    }
    if id.is_none() && wants_id {
        let (image, store) = (built.clone(), store.clone());
        let options = options(built, &Output::stdout());
        let assembled = blocking(move || image.image.assemble(&store, options)).await?;
        id = Some(assembled.config_descriptor.digest);
    }
    Ok(id)
}

/// Writes one output; the id follows where the image had to be put together for it.
fn write(
    built: &Built,
    store: &Store,
    output: &Output,
    tags: &[Reference],
) -> Result<Option<OciDigest>, farm_oci::Error> {
    match (output.kind, &output.destination) {
        (Kind::Oci, destination) => {
            let image = built.image.assemble(store, options(built, output))?;
            layout(&image, store, destination, tags)?;
            Ok(Some(image.config_descriptor.digest))
        }
        (Kind::Local, Destination::Directory(path) | Destination::File(path)) => {
            export::write_directory(&built.merged, store, path)?;
            Ok(None)
        }
        (Kind::Local, Destination::Stdout) => Ok(None),
        (Kind::Tar, destination) => {
            let clamp = epoch(built, output).filter(|_| output.rewrite_timestamp);
            let clamp = clamp.map(|epoch| Mtime(epoch.saturating_mul(NANOS)));
            into(destination, &mut |out| export::rootfs_tar(&built.merged, store, clamp, out))?;
            Ok(None)
        }
    }
}

fn layout(
    image: &Assembled,
    store: &Store,
    destination: &Destination,
    tags: &[Reference],
) -> Result<(), farm_oci::Error> {
    match destination {
        Destination::Directory(path) => export::oci_directory(image, store, tags, path),
        Destination::File(_) | Destination::Stdout => {
            into(destination, &mut |out| export::oci_archive(image, store, tags, out))
        }
    }
}

type WriteTo<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), farm_oci::Error>;

fn into(destination: &Destination, write: WriteTo<'_>) -> Result<(), farm_oci::Error> {
    match destination {
        Destination::File(path) | Destination::Directory(path) => to_file(path, write),
        Destination::Stdout => write(&mut std::io::stdout().lock()),
    }
}

fn to_file(path: &Path, write: WriteTo<'_>) -> Result<(), farm_oci::Error> {
    let mut file = AtomicFile::create(path)?;
    write(&mut file)?;
    file.commit()
}

/// The output's own epoch, else the build's.
fn epoch(built: &Built, output: &Output) -> Option<i64> {
    output.epoch.or(built.source_date_epoch)
}

fn options(built: &Built, output: &Output) -> AssembleOptions {
    let compression = match output.compression {
        Compression::Gzip => farm_oci::image::Compression::Gzip,
        Compression::Uncompressed => farm_oci::image::Compression::None,
    };
    let timestamps = match (epoch(built, output), output.rewrite_timestamp) {
        (None, _) => Timestamps::Keep,
        (Some(epoch), false) => Timestamps::Created(epoch),
        (Some(epoch), true) => Timestamps::Rewrite(epoch),
    };
    AssembleOptions { compression, timestamps }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, farm_oci::Error> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(&error)),
        Err(panic) => Err(Failure::internal(panic.to_string())),
    }
}

fn failure(error: &farm_oci::Error) -> Failure {
    let message = format!("cannot write the result: {}", chain(error));
    let failure = match error.blame() {
        farm_oci::Blame::Internal => Failure::internal(message),
        farm_oci::Blame::User | farm_oci::Blame::Environment => Failure::environment(message),
    };
    failure.with_hint(error.hint())
}
