//! The half of a stream that we write.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use farm_proto::frame::Message;
use quinn::{SendStream, StoppedError, VarInt, WriteError};
use tokio::io::AsyncWrite;

use crate::peer::Peer;
use crate::{Error, Identity, Result};

/// What a reset says; the protocol tells no kinds apart.
const GAVE_UP: u32 = 1;
/// Messages up to this length are copied behind their length, which is cheaper than a packet of their own for it.
const SMALL: usize = 16 << 10;

/// How a stream ended on the other side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// Everything up to the end, or to the reset, has arrived there.
    Complete,
    /// It takes no more.
    Stopped,
}

/// Sends messages, items and raw bytes. Dropping it ends the stream as [`Sender::finish`] does, unless something was
/// left half sent: then the stream is reset.
pub struct Sender {
    pub(crate) stream: SendStream,
    peer: Arc<Peer>,
    /// Whether the last thing that was begun is not known to be whole.
    torn: bool,
}

impl Sender {
    pub(crate) fn new(stream: SendStream, peer: &Arc<Peer>) -> Self {
        Self { stream, peer: Arc::clone(peer), torn: false }
    }

    /// Who is on the other side.
    pub fn peer(&self) -> &Identity {
        &self.peer.identity
    }

    /// Sends a message. Waits while the other side is slow to read. Giving up half way tears the stream.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<()> {
        let body = message.encode().map_err(|source| Error::Frame { peer: self.peer.to_string(), source })?;
        let length = u32::try_from(body.len()).expect("encode keeps to the limit").to_le_bytes();
        if body.len() > SMALL {
            return self.whole(&mut [Bytes::copy_from_slice(&length), Bytes::from_owner(body)]).await;
        }
        let mut frame = BytesMut::with_capacity(length.len() + body.len());
        frame.put_slice(&length);
        frame.put_slice(&body);
        self.whole(&mut [frame.freeze()]).await
    }

    /// Sends `chunks` as one thing, behind which another may begin.
    pub(crate) async fn whole(&mut self, chunks: &mut [Bytes]) -> Result<()> {
        self.begin()?;
        self.part(chunks).await?;
        self.complete();
        Ok(())
    }

    /// Marks the stream as torn until [`Sender::complete`].
    pub(crate) fn begin(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.torn, true) { Err(Error::Torn) } else { Ok(()) }
    }

    /// Sends a part of what was begun.
    pub(crate) async fn part(&mut self, chunks: &mut [Bytes]) -> Result<()> {
        let written = self.stream.write_all_chunks(chunks).await;
        written.map_err(|error| write_error(&self.peer, error))
    }

    /// What was begun is whole.
    pub(crate) fn complete(&mut self) {
        self.torn = false;
    }

    /// Ends the stream. What was sent before still arrives, as long as the connection lives; [`Sender::stopped`] waits
    /// for that. Ending it twice is an error.
    pub fn finish(&mut self) -> Result<()> {
        if self.torn {
            self.reset();
            return Err(Error::Torn);
        }
        self.stream.finish().map_err(|_| Error::Finished)
    }

    /// Gives up: the reader gets an error in place of an end, maybe before what was sent already.
    pub fn reset(&mut self) {
        // A stream that has ended before has nothing to reset.
        let _ = self.stream.reset(VarInt::from_u32(GAVE_UP));
    }

    /// Waits until the other side takes no more, or has received everything up to the end. The future does not borrow
    /// the sender, so that one may go on writing meanwhile.
    pub fn stopped(&self) -> impl Future<Output = Result<Delivery>> + Send + 'static {
        let (stopped, peer) = (self.stream.stopped(), Arc::clone(&self.peer));
        async move {
            match stopped.await {
                Ok(None) => Ok(Delivery::Complete),
                Ok(Some(_)) => Ok(Delivery::Stopped),
                Err(StoppedError::ConnectionLost(error)) => Err(peer.lost(&error)),
                Err(StoppedError::ZeroRttRejected) => unreachable!("0-RTT is never used"),
            }
        }
    }

    /// Lets the messages of other streams pass in front of this one's bytes.
    pub fn yield_to_messages(&self) {
        // A stream that has ended has nothing to order.
        let _ = self.stream.set_priority(-1);
    }
}

fn write_error(peer: &Peer, error: WriteError) -> Error {
    match error {
        WriteError::Stopped(_) => Error::Stopped { peer: peer.to_string() },
        WriteError::ConnectionLost(error) => peer.lost(&error),
        WriteError::ClosedStream | WriteError::ZeroRttRejected => Error::Finished,
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.torn {
            self.reset();
        }
    }
}

/// Raw bytes. Errors hold an [`Error`]; see [`Error::from_io`].
impl AsyncWrite for Sender {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.torn {
            return Poll::Ready(Err(Error::Torn.into()));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes));
        Poll::Ready(written.map_err(|error| write_error(&this.peer, error).into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().finish().map_err(io::Error::from))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender(to {})", self.peer)
    }
}
