//! A connection to a peer whose certificate was checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::VarInt;
use rustls_pki_types::CertificateDer;

use crate::peer::Peer;
use crate::probe::{Probe, Watch};
use crate::{Error, Identity, Result, Stream, verify};

/// A connection. Clones are the same one; it is closed when the last of them and of its streams is dropped.
#[derive(Clone)]
pub struct Connection {
    quic: quinn::Connection,
    peer: Arc<Peer>,
    /// Only held.
    _watch: Option<Arc<Watch>>,
}

impl Connection {
    /// Reads who is there from the certificate that the handshake checked.
    pub(crate) fn new(quic: quinn::Connection, probe: Option<Probe>) -> Result<Self> {
        let chain = quic.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let rejected = |reason: String| Error::Rejected { peer: quic.remote_address().to_string(), reason };
        let chain = chain.filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| rejected("there is none".to_owned()))?;
        let peer = verify::identity_of(&chain[0]).map_err(|error| rejected(error.to_string()))?;
        let peer = Arc::new(Peer::new(peer));
        let watch = probe.map(|probe| Arc::new(Watch::new(probe, quic.clone(), Arc::clone(&peer))));
        Ok(Self { quic, peer, _watch: watch })
    }

    /// Who is there.
    pub fn peer(&self) -> &Identity {
        &self.peer.identity
    }

    /// From where; an IPv4 address is given as one even over a socket for both families.
    pub fn remote_address(&self) -> SocketAddr {
        let address = self.quic.remote_address();
        let ip: IpAddr = address.ip().to_canonical();
        SocketAddr::new(ip, address.port())
    }

    /// A new stream. The other side notices it with the first bytes that are sent. Waits while too many are open.
    pub async fn open(&self) -> Result<Stream> {
        let (sender, receiver) = self.quic.open_bi().await.map_err(|error| self.peer.lost(&error))?;
        Ok(Stream::new(sender, receiver, &self.peer))
    }

    /// The next stream that the other side opened; none once either side closed the connection in good order.
    pub async fn accept(&self) -> Result<Option<Stream>> {
        match self.quic.accept_bi().await {
            Ok((sender, receiver)) => Ok(Some(Stream::new(sender, receiver, &self.peer))),
            Err(error) if self.peer.ended_in_order(&error) => Ok(None),
            Err(error) => Err(self.peer.lost(&error)),
        }
    }

    /// Waits for the end of the connection, and says why it came.
    pub async fn closed(&self) -> String {
        self.peer.reason(&self.quic.closed().await)
    }

    /// Ends the connection with all of its streams, at once. What is not acknowledged yet may not arrive.
    pub fn close(&self, reason: &str) {
        self.quic.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.quic.close_reason().is_some()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} at {})", self.peer, self.remote_address())
    }
}
