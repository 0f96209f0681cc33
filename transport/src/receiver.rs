//! The half of a stream that we read.
//!
//! What has arrived but was not asked for yet stays in the receiver, so that giving up a wait loses nothing.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use farm_proto::frame::{self, ALIGNMENT, Message};
use quinn::{ReadError, RecvStream};
use rkyv::util::AlignedVec;
use tokio::io::{AsyncRead, ReadBuf};

use crate::peer::Peer;
use crate::{Error, Identity, Result};

/// The most that is taken from the connection at once.
const CHUNK: usize = 256 << 10;
/// What is reserved for a message before more of it has come.
const FIRST_RESERVE: usize = 64 << 10;

/// Receives messages, items and raw bytes. Dropping it tells the other side that no more is taken.
pub struct Receiver {
    stream: RecvStream,
    peer: Arc<Peer>,
    /// Arrived and not yet consumed.
    chunk: Bytes,
    /// The beginning of a length.
    head: ([u8; 8], usize),
    /// A message's length, once known, and what has come of it.
    frame: Option<(usize, AlignedVec<ALIGNMENT>)>,
}

impl Receiver {
    pub(crate) fn new(stream: RecvStream, peer: &Arc<Peer>) -> Self {
        Self { stream, peer: Arc::clone(peer), chunk: Bytes::new(), head: ([0; 8], 0), frame: None }
    }

    /// Who is on the other side.
    pub fn peer(&self) -> &Identity {
        &self.peer.identity
    }

    /// The next message; none when the stream has ended cleanly. May be given up and asked again.
    pub async fn receive<M: Message>(&mut self) -> Result<Option<M>> {
        if self.frame.is_none() {
            let Some(length) = self.length::<4>().await? else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            if length > frame::LIMIT {
                return Err(self.bad_frame(frame::Error::TooLong(length)));
            }
            self.frame = Some((length, AlignedVec::with_capacity(length.min(FIRST_RESERVE))));
        }
        while let Some((length, body)) = &mut self.frame {
            let taken = self.chunk.split_to(self.chunk.len().min(*length - body.len()));
            body.extend_from_slice(&taken);
            if body.len() == *length {
                break;
            }
            if !self.refill().await? {
                return Err(self.truncated());
            }
        }
        let body = self.frame.take().map(|(_, body)| body).unwrap_or_default();
        M::decode(&body).map(Some).map_err(|source| self.bad_frame(source))
    }

    /// The next length, of `N` bytes; none at the end of the stream.
    pub(crate) async fn length<const N: usize>(&mut self) -> Result<Option<[u8; N]>> {
        loop {
            let (bytes, filled) = &mut self.head;
            let taken = self.chunk.split_to(self.chunk.len().min(N - *filled));
            bytes[*filled..*filled + taken.len()].copy_from_slice(&taken);
            *filled += taken.len();
            if *filled == N {
                *filled = 0;
                return Ok(bytes.first_chunk().copied());
            }
            let begun = *filled > 0;
            if !self.refill().await? {
                return if begun { Err(self.truncated()) } else { Ok(None) };
            }
        }
    }

    /// The next bytes as they came, at most `most`; none at the end of the stream.
    pub async fn chunk(&mut self, most: usize) -> Result<Option<Bytes>> {
        if self.chunk.is_empty() && most > 0 && !self.refill().await? {
            return Ok(None);
        }
        Ok(Some(self.chunk.split_to(self.chunk.len().min(most))))
    }

    /// Waits for more; false at the end of the stream. Only when everything before was consumed.
    async fn refill(&mut self) -> Result<bool> {
        match self.stream.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => {
                self.chunk = chunk.bytes;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(read_error(&self.peer, error)),
        }
    }

    /// Fills `buffer` with what has come already; none when nothing has, and waiting is needed.
    pub(crate) fn copy_ready(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let count = self.chunk.len().min(buffer.len());
        self.chunk.split_to(count).copy_to_slice(&mut buffer[..count]);
        (count > 0).then_some(count)
    }

    /// The stream ends in the middle of something.
    pub(crate) fn truncated(&self) -> Error {
        Error::Truncated { peer: self.peer.to_string() }
    }

    fn bad_frame(&self, source: frame::Error) -> Error {
        Error::Frame { peer: self.peer.to_string(), source }
    }
}

fn read_error(peer: &Peer, error: ReadError) -> Error {
    match error {
        ReadError::Reset(_) => Error::Reset { peer: peer.to_string() },
        ReadError::ConnectionLost(error) => peer.lost(&error),
        ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
            Error::Finished
        }
    }
}

/// Raw bytes. Errors hold an [`Error`]; see [`Error::from_io`].
impl AsyncRead for Receiver {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.chunk.is_empty() {
            let read = ready!(this.stream.poll_read_buf(cx, buffer));
            return Poll::Ready(read.map_err(|error| read_error(&this.peer, error).into()));
        }
        let count = this.chunk.len().min(buffer.remaining());
        buffer.put_slice(&this.chunk.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver(from {})", self.peer)
    }
}
