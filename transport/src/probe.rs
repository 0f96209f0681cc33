//! Whether anybody listens at an address of this machine. QUIC learns that nobody does only from silence; the kernel knows
//! at once. So a daemon that is not there, or that was killed, is noticed without waiting.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::VarInt;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::peer::Peer;

/// How often a listener is looked for while a connection to it is open.
const INTERVAL: Duration = Duration::from_millis(500);

/// Asks the kernel of this machine about one address.
pub(crate) struct Probe {
    socket: UdpSocket,
}

impl Probe {
    /// A probe of `address`; none when it belongs to another machine.
    pub(crate) fn of(address: SocketAddr) -> io::Result<Option<Self>> {
        if !address.ip().to_canonical().is_loopback() {
            return Ok(None);
        }
        let any: IpAddr = match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Some(Self { socket }))
    }

    /// Fails when no socket is bound there.
    pub(crate) fn listening(&self) -> io::Result<()> {
        // Too short to be a packet of QUIC, so whoever listens drops it.
        self.socket.send(&[0])?;
        // The refusal of a datagram is reported to the next call.
        match self.socket.recv(&mut [0]) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Looks for the listener while a connection is open, and closes it when there is none any more.
pub(crate) struct Watch(JoinHandle<()>);

impl Watch {
    pub(crate) fn new(probe: Probe, quic: quinn::Connection, peer: Arc<Peer>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "aborted when the last handle of the connection goes")]
        Self(tokio::spawn(async move {
            while quic.close_reason().is_none() {
                sleep(INTERVAL).await;
                if probe.listening().is_err() {
                    peer.declare_gone("its process is gone");
                    quic.close(VarInt::from_u32(0), b"");
                }
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
