//! A stream of both directions, whose halves end independently.

use std::sync::Arc;

use farm_proto::frame::Message;

use crate::peer::Peer;
use crate::{Identity, Receiver, Result, Sender};

/// Both halves of a stream.
#[derive(Debug)]
pub struct Stream {
    sender: Sender,
    receiver: Receiver,
}

impl Stream {
    pub(crate) fn new(sender: quinn::SendStream, receiver: quinn::RecvStream, peer: &Arc<Peer>) -> Self {
        Self { sender: Sender::new(sender, peer), receiver: Receiver::new(receiver, peer) }
    }

    /// Who is on the other side.
    pub fn peer(&self) -> &Identity {
        self.sender.peer()
    }

    /// Sends a message; see [`Sender::send`].
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<()> {
        self.sender.send(message).await
    }

    /// The next message; see [`Receiver::receive`].
    pub async fn receive<M: Message>(&mut self) -> Result<Option<M>> {
        self.receiver.receive().await
    }

    /// Ends our half; see [`Sender::finish`].
    pub fn finish(&mut self) -> Result<()> {
        self.sender.finish()
    }

    /// Both halves, to use at once from one task.
    pub fn halves(&mut self) -> (&mut Sender, &mut Receiver) {
        (&mut self.sender, &mut self.receiver)
    }

    /// Both halves, for two tasks.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}
