//! Bytes on their way from a thread that makes them to a stream, a bounded number at a time.

use std::io::{self, Write};

use farm_proto::session::OutputPart;
use farm_transport::Sender;
use tokio::sync::mpsc;

use crate::Error;
use crate::build::blocking;

/// Bytes that travel together.
const PIECE: usize = 256 << 10;
/// Pieces that may wait between the thread and the stream.
const WAITING: usize = 4;

/// Sends what `make` writes, then that it was all. Dropping the future stops `make` at its next write.
pub(super) async fn send(
    sender: &mut Sender,
    make: impl FnOnce(&mut dyn Write) -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let (pieces, arriving) = mpsc::channel(WAITING);
    let making = blocking(move || {
        let mut parts = Parts::new(pieces);
        make(&mut parts)?;
        // Nobody takes the last piece only when sending has failed, which says why.
        let _given_up = parts.flush();
        Ok(())
    });
    let sending = send_all(sender, arriving);
    let (made, sent) = tokio::join!(making, sending);
    sent?;
    let last = if made.is_ok() { OutputPart::Done } else { OutputPart::Failed };
    sender.send(&last).await?;
    sender.finish()?;
    made
}

/// Lets go of `arriving` when it ends: what cannot be sent need not be made.
async fn send_all(sender: &mut Sender, mut arriving: mpsc::Receiver<Vec<u8>>) -> Result<(), Error> {
    while let Some(piece) = arriving.recv().await {
        sender.send(&OutputPart::Bytes(piece)).await?;
    }
    Ok(())
}

/// Cuts what is written into pieces.
pub(crate) struct Parts {
    pieces: mpsc::Sender<Vec<u8>>,
    filling: Vec<u8>,
}

impl Parts {
    /// Pieces go to `pieces`, from a thread that may block.
    pub(crate) fn new(pieces: mpsc::Sender<Vec<u8>>) -> Self {
        Self { pieces, filling: Vec::new() }
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.filling.len();
        let taken = bytes.len().min(room);
        self.filling.extend_from_slice(&bytes[..taken]);
        if self.filling.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.filling.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.filling);
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
