//! Images as archives, out of the farm and into it: one or several in each.

use std::io::{self, Read};
use std::sync::Arc;

use farm_model::event::Stream as Which;
use farm_model::{OciDigest, Reference};
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
use crate::images::Record;
use crate::output::parts::Parts;
use crate::output::{self, Content, Named};

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
    if !matches!(request.form, Form::OciArchive | Form::DockerArchive) {
        return Err(Error::NotAllowed("an image is saved as an OCI or a docker archive".to_owned()));
    }
    // Each image once, with the names under which it was asked for; an id is no name.
    let mut images: Vec<(Record, Vec<Reference>)> = Vec::new();
    for text in &request.images {
        let (name, record) = image(farm, text).await?;
        let given = text.parse::<Reference>().ok().filter(|given| given.familiar() == name && !is_id(&name));
        match images.iter_mut().find(|(known, _)| known.id() == record.id()) {
            Some((_, names)) => names.extend(given),
            None => images.push((record, given.into_iter().collect())),
        }
    }
    let mut assembled: Vec<Named> = Vec::new();
    for (record, names) in images {
        let image = assemble(farm, &record, output::options(request.packing, Timestamps::Keep)).await?;
        let _brought = blobs::ensure(farm, &record.image).await?;
        assembled.push((image, names));
    }
    if assembled.is_empty() {
        return Err(Error::NotAllowed("no image was named".to_owned()));
    }
    Ok(if request.form == Form::OciArchive {
        Content::Layout(assembled.into())
    } else {
        Content::Docker(assembled.into())
    })
}

/// Whether an image is kept under its id, for want of a name.
fn is_id(name: &str) -> bool {
    name.parse::<OciDigest>().is_ok()
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
        let mut names: Vec<String> = names.iter().map(Reference::familiar).collect();
        if names.is_empty() {
            // Its id stands for it until it gets a name.
            names.push(resolved.manifest.config.digest.to_string());
        }
        pull::keep(farm, &Source::Stored, &resolved, &names, &counter.pulling()).await?;
        all.extend(names);
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
