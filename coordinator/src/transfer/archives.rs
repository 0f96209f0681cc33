//! Images as archives, out of the farm and into it.

use std::io::{self, Read};
use std::sync::Arc;

use farm_model::Reference;
use farm_model::event::Stream as Which;
use farm_oci::Source;
use farm_oci::image::Timestamps;
use farm_oci::load::{Loaded, load_archive};
use farm_proto::client::{Form, Reply};
use farm_proto::session::OutputPart;
use farm_proto::transfer::SaveRequest;
use farm_transport::{Receiver, Sender};
use tokio::sync::mpsc;

use super::{Counter, assemble, blobs, image, pull};
use crate::Error;
use crate::build::{Farm, blocking};
use crate::output::parts::Parts;
use crate::output::{self, Content};

/// Pieces that may wait between the stream and whoever reads them.
const WAITING: usize = 4;

/// One `farm save`.
pub(super) async fn save(farm: &Farm, request: SaveRequest, sender: &mut Sender) -> Result<Reply, Error> {
    let content = content(farm, &request).await?;
    let store = farm.store.clone();
    let (pieces, arriving) = mpsc::channel(WAITING);
    let making = blocking(move || {
        let mut parts = Parts::new(pieces);
        content.write(&store, &mut parts)?;
        // Nobody takes the last piece only when sending has failed, which says why.
        let _given_up = io::Write::flush(&mut parts);
        Ok(())
    });
    // What cannot be sent need not be made: it lets go of its end.
    let sending = async move {
        let mut arriving = arriving;
        while let Some(bytes) = arriving.recv().await {
            sender.send(&Reply::Output { stream: Which::Stdout, bytes }).await?;
        }
        Ok::<_, Error>(())
    };
    let (made, sent) = tokio::join!(making, sending);
    sent?;
    made.map(|()| Reply::Done)
}

async fn content(farm: &Farm, request: &SaveRequest) -> Result<Content, Error> {
    let mut images = Vec::new();
    for text in &request.images {
        images.push(image(farm, text).await?);
    }
    let Some((_, first)) = images.first().cloned() else {
        return Err(Error::NotAllowed("no image was named".to_owned()));
    };
    if let Some((other, _)) = images.iter().find(|(_, record)| record.id() != first.id()) {
        return Err(Error::NotAllowed(format!("`{other}` is another image: an archive holds one")));
    }
    // An id is no name.
    let names = request.images.iter().zip(&images).filter_map(|(text, (name, _))| {
        let given = text.parse::<Reference>().is_ok_and(|given| given.familiar() == *name);
        if given { name.parse().ok() } else { None }
    });
    let names: Arc<[Reference]> = names.collect();
    let image = assemble(farm, &first, output::options(request.packing, Timestamps::Keep)).await?;
    let _brought = blobs::ensure(farm, &first.image).await?;
    match request.form {
        Form::OciArchive => Ok(Content::Layout { image, names }),
        Form::DockerArchive => Ok(Content::Docker { image, names }),
        Form::FilesystemTar | Form::Registry | Form::Image => {
            Err(Error::NotAllowed("an image is saved as an OCI or a docker archive".to_owned()))
        }
    }
}

/// One `farm load`.
pub(super) async fn load(
    farm: &Arc<Farm>,
    receiver: &mut Receiver,
    counter: &Counter,
) -> Result<Reply, Error> {
    let (pieces, coming) = mpsc::channel(WAITING);
    let store = farm.store.clone();
    let reading = blocking(move || {
        let mut archive = Pieces { coming, current: io::Cursor::new(Vec::new()), done: false };
        let loaded = load_archive(&mut archive, &store)?;
        // What follows the end of the archive is padding.
        io::copy(&mut archive, &mut io::sink()).map_err(|_| Error::ClientGone)?;
        Ok(loaded)
    });
    // It lets go of its end when it is done, so that whoever reads does not wait for more.
    let feeding = async move {
        loop {
            let piece = match receiver.receive::<OutputPart>().await {
                Ok(Some(OutputPart::Bytes(bytes))) => bytes,
                // An empty piece says that it was all.
                Ok(Some(OutputPart::Done)) => Vec::new(),
                Ok(Some(OutputPart::Failed) | None) | Err(_) => return,
            };
            let last = piece.is_empty();
            if pieces.send(piece).await.is_err() || last {
                return;
            }
        }
    };
    let (loaded, ()) = tokio::join!(reading, feeding);
    let mut all = Vec::new();
    for Loaded { names, resolved } in loaded? {
        if names.is_empty() {
            return Err(Error::NotAllowed("an image of the archive has no name".to_owned()));
        }
        pull::keep(farm, &Source::Stored, &resolved, &names, &counter.pulling()).await?;
        all.extend(names.iter().map(Reference::familiar));
    }
    Ok(Reply::Loaded(all))
}

/// Pieces of an archive as they come. One that breaks off is an error.
struct Pieces {
    coming: mpsc::Receiver<Vec<u8>>,
    current: io::Cursor<Vec<u8>>,
    done: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 || self.done || buffer.is_empty() {
                return Ok(count);
            }
            let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the client stopped sending");
            let next = self.coming.blocking_recv().ok_or_else(broken)?;
            self.done = next.is_empty();
            self.current = io::Cursor::new(next);
        }
    }
}
