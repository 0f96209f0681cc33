//! A connection to a coordinator: requests, and what is replied to them.

use std::net::SocketAddr;
use std::time::Duration;

use farm_proto::client::{Reply, Request};
use farm_transport::{Connection, Credentials, Endpoint, Expected, Receiver, Role, Sender, Stream};

use crate::Error;

/// How long a goodbye may take; a coordinator that does not hear it notices by the silence.
const FAREWELL: Duration = Duration::from_millis(1);

/// A coordinator that answers. Clones share the connection, which ends with the last of them.
#[derive(Clone)]
pub struct Client {
    connection: Connection,
    /// The socket of the connection.
    endpoint: Endpoint,
}

impl Client {
    /// Connects to the coordinator at `address`, which has to prove that it is one.
    pub async fn connect(address: SocketAddr, credentials: &Credentials) -> Result<Self, Error> {
        let endpoint = Endpoint::dialing(credentials)?;
        let connection = endpoint.connect(address, &Expected::any(Role::Coordinator)).await?;
        Ok(Self { connection, endpoint })
    }

    /// Asks for something that has one reply; a refusal is a reply too.
    pub async fn request(&self, request: Request) -> Result<Reply, Error> {
        self.stream(request).await?.next().await?.ok_or(Error::NoReply)
    }

    /// Asks for something that has many replies.
    pub async fn stream(&self, request: Request) -> Result<Replies, Error> {
        let mut stream = self.connection.open().await?;
        stream.send(&request).await?;
        let (sender, receiver) = stream.split();
        Ok(Replies { receiver, half: Some(sender) })
    }

    /// The next question of the coordinator; none when it has ended the connection.
    pub(crate) async fn question(&self) -> Result<Option<Stream>, Error> {
        Ok(self.connection.accept().await?)
    }

    /// Says goodbye, so that nobody waits for this client.
    pub async fn close(self) {
        self.connection.close("done");
        // Only so that it is sent; nobody has to wait until it has arrived.
        let _sent = tokio::time::timeout(FAREWELL, self.endpoint.close("done")).await;
    }
}

/// What a coordinator replies to one request.
pub struct Replies {
    receiver: Receiver,
    /// Our half of the stream. Its end tells a build that its client leaves.
    half: Option<Sender>,
}

impl Replies {
    /// The next reply; none after the last. May be given up and asked again.
    pub async fn next(&mut self) -> Result<Option<Reply>, Error> {
        Ok(self.receiver.receive().await?)
    }

    /// Tells the coordinator that what was asked for is not wanted any more. It may still reply.
    pub fn leave(&mut self) {
        self.half = None;
    }
}
