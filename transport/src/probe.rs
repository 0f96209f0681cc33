//! Whether anybody listens at an address of this machine. QUIC learns that nobody does only from silence; the kernel knows
//! at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Fails when the kernel says that no socket is bound there. Addresses elsewhere are not asked.
pub(crate) fn listening(address: SocketAddr) -> io::Result<()> {
    if !address.ip().is_loopback() {
        return Ok(());
    }
    let any: IpAddr = match address.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    // Too short to be a packet of QUIC, so whoever listens drops it.
    socket.send(&[0])?;
    // The refusal of the first datagram is reported to the next call.
    match socket.recv(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
