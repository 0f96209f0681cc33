//! Halves of a stream for code that blocks: packers, unpackers and hashers on threads of their own.
//!
//! They wait through a runtime's handle, so they must not be used on that runtime's own worker threads; inside
//! `spawn_blocking` is fine.

use std::io;

use farm_proto::frame::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;

use crate::{Receiver, Result, Sender};

/// A [`Sender`] for code that blocks. Each write waits by itself: put a `BufWriter` in front of small ones.
#[derive(Debug)]
pub struct BlockingSender {
    sender: Sender,
    handle: Handle,
}

impl Sender {
    /// For a thread that may block.
    pub fn into_blocking(self, handle: Handle) -> BlockingSender {
        BlockingSender { sender: self, handle }
    }
}

impl BlockingSender {
    /// Sends a message.
    pub fn send<M: Message>(&mut self, message: &M) -> Result<()> {
        self.handle.block_on(self.sender.send(message))
    }

    /// Sends an item.
    pub fn item(&mut self, bytes: &[u8]) -> Result<()> {
        self.handle.block_on(self.sender.item(bytes))
    }

    /// Sends word that the thing that was asked for is not there.
    pub fn absent(&mut self) -> Result<()> {
        self.handle.block_on(self.sender.absent())
    }

    /// Ends the stream.
    pub fn finish(&mut self) -> Result<()> {
        self.sender.finish()
    }

    /// Gives up.
    pub fn reset(&mut self) {
        self.sender.reset();
    }

    /// Back to a sender for tasks.
    pub fn into_inner(self) -> Sender {
        self.sender
    }
}

impl io::Write for BlockingSender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.handle.block_on(self.sender.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A [`Receiver`] for code that blocks.
#[derive(Debug)]
pub struct BlockingReceiver {
    receiver: Receiver,
    handle: Handle,
}

impl Receiver {
    /// For a thread that may block.
    pub fn into_blocking(self, handle: Handle) -> BlockingReceiver {
        BlockingReceiver { receiver: self, handle }
    }
}

impl BlockingReceiver {
    /// The next message; none when the stream has ended cleanly.
    pub fn receive<M: Message>(&mut self) -> Result<Option<M>> {
        self.handle.block_on(self.receiver.receive())
    }

    /// The size of the next item; see [`Receiver::next_item`].
    pub fn next_item(&mut self) -> Result<Option<u64>> {
        self.handle.block_on(self.receiver.next_item())
    }

    /// The whole next item; see [`Receiver::item`].
    pub fn item(&mut self, limit: u64) -> Result<Option<Vec<u8>>> {
        self.handle.block_on(self.receiver.item(limit))
    }

    /// Back to a receiver for tasks.
    pub fn into_inner(self) -> Receiver {
        self.receiver
    }
}

impl io::Read for BlockingReceiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(count) = self.receiver.copy_ready(buffer) {
            return Ok(count);
        }
        self.handle.block_on(self.receiver.read(buffer))
    }
}
