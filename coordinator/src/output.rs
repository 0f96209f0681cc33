//! Results on their way to the client: put together here, written there. What goes to a registry is sent from here: the
//! bytes are here, and a detour over the client would only cost its network.
//!
//! Bytes go as fast as the client takes them. A client that comes back after its connection was lost gets a result from its
//! start again; it shows nothing under its final name before it has all of it.

pub(crate) mod parts;

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use farm_model::{BuildEvent, OciDigest, Reference};
use farm_oci::image::{AssembleOptions, Assembled, Timestamps};
use farm_oci::{Image, Pushed};
use farm_proto::client::{BuildRequest, Compression, Form, Output};
use farm_proto::session::{Answer, Ask};
use farm_proto::transfer::{ExportedImage, Packing};
use farm_store::Store;
use farm_transport::Sender;
use farm_tree::{Mtime, Tree};

use crate::build::{Farm, blocking};
use crate::image::Finished;
use crate::report::{Reporter, micros_since};
use crate::transfer::blobs::Brought;
use crate::{Error, Session, transfer, waiting};

const NANOS: i64 = 1_000_000_000;
/// How often an output is made whose bytes turn out to be damaged, beside once for each of its layers.
pub(crate) const TRIES: usize = 3;

/// The result of a build and those who get it.
#[derive(Clone, Copy)]
pub(crate) struct Outputs<'a> {
    pub(crate) farm: &'a Arc<Farm>,
    pub(crate) session: &'a Session,
    pub(crate) reporter: &'a Reporter,
    pub(crate) finished: &'a Finished,
    /// Seconds since the Unix epoch that `SOURCE_DATE_EPOCH` asked for.
    pub(crate) source_date_epoch: Option<i64>,
}

/// What is sent as one output.
#[derive(Clone)]
pub(crate) enum Content {
    /// An OCI layout.
    Layout(Arc<[Named]>),
    /// What `docker load` reads.
    Docker(Arc<[Named]>),
    /// The merged file system.
    Filesystem { tree: Tree, clamp: Option<Mtime> },
}

/// An image and what it is called where it goes.
pub(crate) type Named = (Arc<Assembled>, Vec<Reference>);

impl Outputs<'_> {
    /// Has every output written, and gives the image's id where it is known or wanted.
    pub(crate) async fn write_all(self, asked: &BuildRequest) -> Result<Option<OciDigest>, Error> {
        if !asked.outputs.is_empty() {
            self.bring_bytes().await?;
        }
        let mut id = None;
        for (index, output) in (0_u32..).zip(&asked.outputs) {
            let started = Instant::now();
            let names = if output.names.is_empty() { &asked.names } else { &output.names };
            let mut tries = TRIES + self.finished.image.layers.len();
            let (image, bytes) = loop {
                match self.deliver_once(index, output, names).await {
                    // It was moved aside: packed, brought or built again it is sound.
                    Err(error) if error.is_loss() && tries > 1 => {
                        tries -= 1;
                        self.reporter.warn(format!("{error}; the output begins anew")).await;
                        self.bring_bytes().await?;
                    }
                    delivered => break delivered?,
                }
            };
            let image = image.map(|image| image.config_descriptor.digest);
            let (label, micros) = (output.label.clone(), micros_since(started));
            self.reporter.send(BuildEvent::Exported { output: label, image, bytes, micros }).await;
            id = id.or(image);
        }
        if id.is_none() && asked.wants_image_id {
            id = Some(self.id().await?);
        }
        Ok(id)
    }

    /// The image's id. It takes no layer's bytes when it was asked for before, and never a packed layer.
    async fn id(self) -> Result<OciDigest, Error> {
        let timestamps = timestamps(self.source_date_epoch, false);
        let (image, store): (Image, Store) = (self.finished.image.clone(), self.farm.store.clone());
        if let Some(known) = blocking(move || Ok(image.known_id(&store, timestamps)?)).await? {
            return Ok(known);
        }
        self.bring_bytes().await?;
        let (image, store) = (self.finished.image.clone(), self.farm.store.clone());
        blocking(move || Ok(image.id(&store, timestamps)?)).await
    }

    /// What only workers hold is needed here from now on.
    async fn bring_bytes(self) -> Result<(), Error> {
        let layers: Vec<_> = self.finished.image.layers.iter().map(|layer| layer.layer().digest).collect();
        self.farm.ensure_layers(&layers).await
    }

    async fn deliver_once(
        self,
        index: u32,
        output: &Output,
        names: &[Reference],
    ) -> Result<(Option<Arc<Assembled>>, u64), Error> {
        let image = self.image(output).await?;
        if matches!(output.form, Form::OciArchive | Form::DockerArchive) {
            for brought in transfer::blobs::ensure(self.farm, &self.finished.image).await? {
                let Brought { from, bytes, micros } = brought;
                self.reporter.send(BuildEvent::LayerPulled { image: from, bytes, micros }).await;
            }
        }
        let bytes = self.deliver(index, output, image.as_ref(), names).await?;
        Ok((image, bytes))
    }

    /// The image that an output needs, put together and told of; none for a file system.
    async fn image(self, output: &Output) -> Result<Option<Arc<Assembled>>, Error> {
        if output.form == Form::FilesystemTar {
            return Ok(None);
        }
        let timestamps = timestamps(output.epoch.or(self.source_date_epoch), output.rewrite_timestamp);
        let packing = Packing { compression: output.compression, level: output.level };
        self.assemble(options(packing, timestamps)).await.map(Some)
    }

    /// Brings one output to where it is wanted; gives its bytes.
    async fn deliver(
        self,
        index: u32,
        output: &Output,
        image: Option<&Arc<Assembled>>,
        names: &[Reference],
    ) -> Result<u64, Error> {
        let content = match (output.form, image) {
            (Form::FilesystemTar, _) | (_, None) => {
                let epoch = output.epoch.or(self.source_date_epoch).filter(|_| output.rewrite_timestamp);
                let clamp = epoch.map(|epoch| Mtime(epoch.saturating_mul(NANOS)));
                Content::Filesystem { tree: self.finished.merged.clone(), clamp }
            }
            (Form::OciArchive, Some(image)) => Content::Layout([(Arc::clone(image), names.to_vec())].into()),
            (Form::DockerArchive, Some(image)) => {
                Content::Docker([(Arc::clone(image), names.to_vec())].into())
            }
            (Form::Registry, Some(image)) => {
                let mut sent = 0;
                for name in names {
                    sent += self.push(image, name).await?.uploaded.1;
                }
                return Ok(sent);
            }
            (Form::Image, Some(image)) => {
                return Ok(image.layers.iter().map(|layer| layer.descriptor.size).sum());
            }
        };
        let id = image.map(|image| image.config_descriptor.digest);
        self.write(index, output, id, content).await
    }

    /// Pushes the image under a name, and says how many blobs its registry had.
    async fn push(self, image: &Assembled, name: &Reference) -> Result<Pushed, Error> {
        let counter = transfer::Counter::default();
        let what = format!("the registry `{}` to take `{}`", name.registry, name.familiar());
        let progress = counter.pushing();
        let pushing = Box::pin(transfer::push::push(self.farm, image, name, &progress));
        waiting::told(self.reporter, &what, &counter, pushing).await
    }

    async fn assemble(self, options: AssembleOptions) -> Result<Arc<Assembled>, Error> {
        let (image, store): (Image, Store) = (self.finished.image.clone(), self.farm.store.clone());
        let image = blocking(move || Ok(image.assemble(&store, options)?)).await?;
        let descriptor = image.descriptor_json();
        self.session.exported(ExportedImage { config: image.config_descriptor.digest, descriptor }).await?;
        Ok(Arc::new(image))
    }

    /// Sends one output; gives the bytes that the client wrote.
    async fn write(
        self,
        index: u32,
        output: &Output,
        image: Option<OciDigest>,
        content: Content,
    ) -> Result<u64, Error> {
        let failed = |reason, hint| Error::Output { output: output.label.clone(), reason, hint };
        loop {
            let (mut sender, mut receiver) = self.session.open(&Ask::Output { index, image }).await?;
            let sending = self.send(&mut sender, content.clone());
            tokio::pin!(sending);
            // A client that cannot write says so before it has everything.
            let (sent, answer) = tokio::select! {
                answer = receiver.receive::<Answer>() => (Ok(()), answer),
                sent = &mut sending => (sent, receiver.receive::<Answer>().await),
            };
            let error = match (answer, sent) {
                (Ok(Some(Answer::Written { bytes })), Ok(())) => return Ok(bytes),
                // The client only says that it did not get all of it.
                (_, Err(error)) if !matches!(error, Error::Transport(_)) => return Err(error),
                (Ok(Some(Answer::Failed { reason, hint })), _) => return Err(failed(reason, hint)),
                (_, Err(error)) => error,
                (Err(error), Ok(())) => error.into(),
                (Ok(_), Ok(())) => Error::ClientConfused(format!("output `{}`", output.label)),
            };
            self.session.again(error).await?;
        }
    }

    async fn send(self, sender: &mut Sender, content: Content) -> Result<(), Error> {
        let store = self.farm.store.clone();
        parts::send(sender, move |out| content.write(&store, out)).await
    }
}

impl Content {
    /// Writes it as a tar.
    pub(crate) fn write(&self, store: &Store, mut out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Layout(images) => farm_oci::export::oci_archive(&borrowed(images), store, &mut out)?,
            Self::Docker(images) => farm_oci::export::docker_archive(&borrowed(images), store, &mut out)?,
            Self::Filesystem { tree, clamp } => farm_oci::export::rootfs_tar(tree, store, *clamp, &mut out)?,
        }
        Ok(())
    }
}

fn borrowed(images: &[Named]) -> Vec<farm_oci::export::Named<'_>> {
    images.iter().map(|(image, names)| (image.as_ref(), names.as_slice())).collect()
}

/// How an image is put together that is to be packed like this.
pub(crate) fn options(packing: Packing, timestamps: Timestamps) -> AssembleOptions {
    let compression = match packing.compression {
        Compression::Gzip => farm_oci::image::Compression::Gzip,
        Compression::Zstd => farm_oci::image::Compression::Zstd,
        Compression::Uncompressed => farm_oci::image::Compression::None,
    };
    AssembleOptions { compression, level: packing.level, timestamps }
}

fn timestamps(epoch: Option<i64>, rewrite: bool) -> Timestamps {
    match (epoch, rewrite) {
        (None, _) => Timestamps::Keep,
        (Some(epoch), false) => Timestamps::Created(epoch),
        (Some(epoch), true) => Timestamps::Rewrite(epoch),
    }
}
