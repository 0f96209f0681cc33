//! The answering side.
//!
//! An answer that cannot go on ends where it stands: whoever asked sees an item without its end, and asks again or
//! elsewhere.

use std::io::{self, Read};

use farm_model::BlobDigest;
use farm_proto::blob::{ABSENT, Fetch, MOST_ITEMS};
use farm_store::Store;
use farm_transport::Stream;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::apart;
use crate::{Error, PATIENCE, PIECE_BYTES, PIECES};

/// A blob up to this size is checked before a byte of it leaves; a longer one while it does.
const CHECKED_FIRST: u64 = 1 << 20;

/// Answers `fetch` on `stream` from `store`: an item for each thing, in order.
pub async fn serve(store: &Store, fetch: Fetch, stream: Stream) -> Result<(), Error> {
    let asked = count(&fetch);
    if asked > MOST_ITEMS {
        return Err(Error::TooMany { asked, most: MOST_ITEMS });
    }
    let (mut sender, _asked) = stream.split();
    sender.yield_to_messages();
    let (pieces, mut outgoing) = mpsc::channel::<Vec<u8>>(PIECES);
    let store = store.clone();
    let reading = apart(move || answer(&store, &fetch, &mut Outgoing { pieces, filling: Vec::new() }));
    // Ending this drops `outgoing`, and the thread ends because nobody writes what it reads.
    let writing = async move {
        while let Some(piece) = outgoing.recv().await {
            let written = timeout(PATIENCE, sender.write_all(&piece)).await;
            written.map_err(|_| Error::Silent(PATIENCE.as_secs()))?.map_err(Error::Stream)?;
        }
        // An asker that has heard enough may be gone already.
        let _gone = sender.finish();
        Ok(())
    };
    let (read, written) = tokio::join!(reading, writing);
    written.and(read)
}

fn count(fetch: &Fetch) -> usize {
    match fetch {
        Fetch::Trees { layers } => layers.len(),
        Fetch::Records { digests } => digests.len(),
        Fetch::Blobs { blobs } => blobs.len(),
    }
}

/// Reads what was asked for; blocks.
fn answer(store: &Store, fetch: &Fetch, out: &mut Outgoing) -> Result<(), Error> {
    match fetch {
        Fetch::Trees { layers } => {
            for layer in layers {
                let tree = store.tree(layer)?;
                out.item(tree.map(|tree| tree.encode()).as_deref())?;
            }
        }
        Fetch::Records { digests } => {
            for digest in digests {
                out.item(store.record_bytes(digest)?.as_deref())?;
            }
        }
        Fetch::Blobs { blobs } => {
            for blob in blobs {
                send_blob(store, blob, out)?;
            }
        }
    }
    out.flush()
}

fn send_blob(store: &Store, blob: &BlobDigest, out: &mut Outgoing) -> Result<(), Error> {
    if blob.size <= CHECKED_FIRST {
        return match store.read_blob(blob, CHECKED_FIRST) {
            Ok(bytes) => out.item(Some(&bytes)),
            Err(farm_store::Error::MissingBlob(_) | farm_store::Error::Corrupt(_)) => out.item(None),
            Err(error) => Err(error.into()),
        };
    }
    let mut reader = match store.open_verified(blob) {
        Ok(reader) => reader,
        Err(farm_store::Error::MissingBlob(_)) => return out.item(None),
        Err(error) => return Err(error.into()),
    };
    out.write(&blob.size.to_le_bytes())?;
    let mut sent = 0u64;
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                sent += count as u64;
                out.write(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // All of it is out, and the asker finds the same as we did: that it is damaged.
            Err(error) if error.kind() == io::ErrorKind::InvalidData && sent == blob.size => return Ok(()),
            Err(error) => {
                out.flush()?;
                return Err(Error::Stream(error));
            }
        }
    }
}

/// Bytes on their way to the stream, in pieces.
struct Outgoing {
    pieces: mpsc::Sender<Vec<u8>>,
    filling: Vec<u8>,
}

impl Outgoing {
    fn item(&mut self, bytes: Option<&[u8]>) -> Result<(), Error> {
        let Some(bytes) = bytes else { return self.write(&ABSENT.to_le_bytes()) };
        self.write(&(bytes.len() as u64).to_le_bytes())?;
        bytes.chunks(PIECE_BYTES).try_for_each(|chunk| self.write(chunk))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.filling.extend_from_slice(bytes);
        if self.filling.len() < PIECE_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let piece = std::mem::take(&mut self.filling);
        if piece.is_empty() {
            return Ok(());
        }
        // Whoever writes has gone: it knows why.
        self.pieces.blocking_send(piece).map_err(|_| Error::EndedEarly)
    }
}
