//! Writing a result where `--output` says. Everything appears whole or not at all.

use std::io::Write;

use farm_coordinator::Built;
use farm_model::{OciDigest, Reference};
use farm_oci::export::AtomicFile;
use farm_oci::image::{AssembleOptions, Assembled, Timestamps};
use farm_store::Store;
use farm_tree::Mtime;

use crate::build::output::{Compression, Destination, Kind, Output};
use crate::failure::{Failure, chain};
use crate::interrupt::{StopFlag, Stoppable};

const NANOS: i64 = 1_000_000_000;

/// A result on its way out.
#[derive(Clone, Copy)]
pub(super) struct Export<'a> {
    pub(super) built: &'a Built,
    pub(super) store: &'a Store,
    pub(super) tags: &'a [Reference],
    /// Once set, what is being written is given up.
    pub(super) stop: &'a StopFlag,
}

impl Export<'_> {
    /// Writes every output, and gives the image's id.
    pub(super) async fn write_all(
        self,
        outputs: &[Output],
        wants_id: bool,
    ) -> Result<Option<OciDigest>, Failure> {
        let mut id = None;
        for output in outputs {
            let (built, store, output) = (self.built.clone(), self.store.clone(), output.clone());
            let (tags, stop) = (self.tags.to_vec(), self.stop.clone());
            let write =
                move || write(Export { built: &built, store: &store, tags: &tags, stop: &stop }, &output);
            id = id.or(blocking(write).await?);
        }
        if id.is_none() && wants_id {
            let (image, store) = (self.built.clone(), self.store.clone());
            let options = options(self.built, &Output::stdout());
            let assembled = blocking(move || image.image.assemble(&store, options)).await?;
            id = Some(assembled.config_descriptor.digest);
        }
        Ok(id)
    }
}

/// Writes one output; the id follows where the image had to be put together for it.
fn write(export: Export<'_>, output: &Output) -> Result<Option<OciDigest>, farm_oci::Error> {
    let Export { built, store, stop, .. } = export;
    match (output.kind, &output.destination) {
        (Kind::Oci, destination) => {
            let image = built.image.assemble(store, options(built, output))?;
            layout(export, &image, destination)?;
            Ok(Some(image.config_descriptor.digest))
        }
        (Kind::Local, Destination::Directory(path) | Destination::File(path)) => {
            farm_oci::export::write_directory(&built.merged, store, path)?;
            Ok(None)
        }
        (Kind::Local, Destination::Stdout) => Ok(None),
        (Kind::Tar, destination) => {
            let clamp = epoch(built, output).filter(|_| output.rewrite_timestamp);
            let clamp = clamp.map(|epoch| Mtime(epoch.saturating_mul(NANOS)));
            into(destination, stop, &mut |out| {
                farm_oci::export::rootfs_tar(&built.merged, store, clamp, out)
            })?;
            Ok(None)
        }
    }
}

fn layout(export: Export<'_>, image: &Assembled, destination: &Destination) -> Result<(), farm_oci::Error> {
    let Export { store, tags, stop, .. } = export;
    match destination {
        Destination::Directory(path) => farm_oci::export::oci_directory(image, store, tags, path),
        Destination::File(_) | Destination::Stdout => {
            into(destination, stop, &mut |out| farm_oci::export::oci_archive(image, store, tags, out))
        }
    }
}

type WriteTo<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), farm_oci::Error>;

fn into(destination: &Destination, stop: &StopFlag, write: WriteTo<'_>) -> Result<(), farm_oci::Error> {
    let stop = stop.clone();
    match destination {
        Destination::File(path) | Destination::Directory(path) => {
            let mut file = Stoppable { inner: AtomicFile::create(path)?, stop };
            write(&mut file)?;
            file.inner.commit()
        }
        Destination::Stdout => write(&mut Stoppable { inner: std::io::stdout().lock(), stop }),
    }
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
