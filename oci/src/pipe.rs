//! A bounded pipe from asynchronous producers (the network) to blocking consumers (the store, decoders).

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// How many chunks may wait between both ends.
const DEPTH: usize = 32;

/// The producer's end.
pub(crate) type PipeWriter = mpsc::Sender<io::Result<Bytes>>;

/// The consumer's end. A producer that goes away ends the stream; one that failed sends its error first.
#[derive(Debug)]
pub(crate) struct PipeReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

/// Both ends of a new pipe.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let reader = PipeReader { receiver, current: Bytes::new() };
    (sender, reader)
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.current = chunk?,
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// The error that a producer sends when it gives up: the consumer must not take what came for the whole.
pub(crate) fn gave_up() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the transfer was given up")
}
