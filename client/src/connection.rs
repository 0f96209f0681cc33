//! A connection to a coordinator: requests, and what is replied to them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use farm_proto::client::{Reply, Request};
use farm_proto::session::OutputPart;
use farm_transport::{Connection, Credentials, Endpoint, Expected, Receiver, Role, Sender, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::Error;

/// How long a goodbye may take; a coordinator that does not hear it notices by the silence.
const FAREWELL: Duration = Duration::from_millis(1);

/// Bytes that are sent together.
const PIECE: usize = 256 << 10;

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

    /// As [`Client::request`]; a refusal is an error.
    pub async fn ask(&self, request: Request) -> Result<Reply, Error> {
        let reply = self.request(request).await?;
        if let Reply::Refused(refusal) = reply { Err(Error::Refused(refusal)) } else { Ok(reply) }
    }

    /// Asks for something that has many replies.
    pub async fn stream(&self, request: Request) -> Result<Replies, Error> {
        let mut stream = self.connection.open().await?;
        stream.send(&request).await?;
        let (sender, receiver) = stream.split();
        Ok(Replies { receiver, half: Some(sender) })
    }

    /// Asks for something that takes bytes, and sends them: all of `reader`, or as much as the coordinator wants.
    pub async fn upload(
        &self,
        request: Request,
        reader: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Reply, Error> {
        let mut stream = self.connection.open().await?;
        stream.send(&request).await?;
        let (mut sender, mut receiver) = stream.split();
        let sending = async {
            let mut piece = vec![0; PIECE];
            loop {
                let read =
                    reader.read(&mut piece).await.map_err(Error::io("read", Path::new("the archive")))?;
                let part =
                    if read == 0 { OutputPart::Done } else { OutputPart::Bytes(piece[..read].to_vec()) };
                sender.send(&part).await?;
                if read == 0 {
                    sender.finish()?;
                    return Ok::<_, Error>(());
                }
            }
        };
        tokio::pin!(sending);
        // A coordinator that wants no more says so before it has everything.
        tokio::select! {
            reply = receiver.receive::<Reply>() => return reply?.ok_or(Error::NoReply),
            sent = &mut sending => if let Err(error @ Error::Io { .. }) = sent { return Err(error) },
        }
        receiver.receive().await?.ok_or(Error::NoReply)
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
