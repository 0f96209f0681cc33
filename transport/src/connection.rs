//! A connection to a peer whose certificate was checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::{ConnectionError, VarInt};
use rustls_pki_types::CertificateDer;

use crate::error::reason;
use crate::{Error, Identity, Result, Stream, verify};

/// A connection. Clones are the same one; it is closed when the last of them and of its streams is dropped.
#[derive(Clone)]
pub struct Connection {
    quic: quinn::Connection,
    peer: Arc<Identity>,
}

impl Connection {
    /// Reads who is there from the certificate that the handshake checked.
    pub(crate) fn new(quic: quinn::Connection) -> Result<Self> {
        let chain = quic.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let rejected = |reason: String| Error::Rejected { peer: quic.remote_address().to_string(), reason };
        let chain = chain.filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| rejected("there is none".to_owned()))?;
        let peer = verify::identity_of(&chain[0]).map_err(|error| rejected(error.to_string()))?;
        Ok(Self { quic, peer: Arc::new(peer) })
    }

    /// Who is there.
    pub fn peer(&self) -> &Identity {
        &self.peer
    }

    /// From where; an IPv4 address is given as one even over a socket for both families.
    pub fn remote_address(&self) -> SocketAddr {
        let address = self.quic.remote_address();
        let ip: IpAddr = address.ip().to_canonical();
        SocketAddr::new(ip, address.port())
    }

    /// A new stream. The other side notices it with the first bytes that are sent. Waits while too many are open.
    pub async fn open(&self) -> Result<Stream> {
        let (sender, receiver) = self.quic.open_bi().await.map_err(|error| self.lost(&error))?;
        Ok(Stream::new(sender, receiver, &self.peer))
    }

    /// The next stream that the other side opened; none once either side closed the connection in good order.
    pub async fn accept(&self) -> Result<Option<Stream>> {
        match self.quic.accept_bi().await {
            Ok((sender, receiver)) => Ok(Some(Stream::new(sender, receiver, &self.peer))),
            Err(ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed) => Ok(None),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Waits for the end of the connection, and says why it came.
    pub async fn closed(&self) -> String {
        reason(&self.quic.closed().await)
    }

    /// Ends the connection with all of its streams, at once. What is not acknowledged yet may not arrive.
    pub fn close(&self, reason: &str) {
        self.quic.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.quic.close_reason().is_some()
    }

    fn lost(&self, error: &ConnectionError) -> Error {
        Error::connection(&self.peer, error)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} at {})", self.peer, self.remote_address())
    }
}
