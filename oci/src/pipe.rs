//! A bounded pipe from asynchronous producers (the network) to blocking consumers (the store, decoders).

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// How many chunks may wait between both ends.
const DEPTH: usize = 32;

/// The producer's end.
pub(crate) type PipeWriter = mpsc::Sender<Bytes>;

/// The consumer's end. The stream ends where the producer said so with [`finish`]; one that merely goes away, because it
/// failed or was dropped, is an error: the consumer must not take what came for the whole.
#[derive(Debug)]
pub(crate) struct PipeReader {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
    finished: bool,
}

/// Both ends of a new pipe.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let reader = PipeReader { receiver, current: Bytes::new(), finished: false };
    (sender, reader)
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.finished {
                return Ok(0);
            }
            let gave_up = || io::Error::new(io::ErrorKind::ConnectionAborted, "the transfer was given up");
            self.current = self.receiver.blocking_recv().ok_or_else(gave_up)?;
            self.finished = self.current.is_empty();
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Says that everything was sent. An empty chunk is the mark, so producers send no other.
pub(crate) async fn finish(writer: PipeWriter) {
    // A consumer that went away has its own error.
    let _ = writer.send(Bytes::new()).await;
}
