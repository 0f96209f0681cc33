//! The UDP socket below an endpoint. The kernel's default buffers hold a fraction of a millisecond of traffic, so they
//! are raised as far as the kernel lets us.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};

use crate::{Error, Result};

/// Bytes that the kernel keeps in each direction.
const BUFFER: usize = 8 << 20;

/// A socket at `address`.
pub(crate) fn bound(address: SocketAddr) -> Result<UdpSocket> {
    open(address).map_err(|source| Error::Bind { address, source })
}

/// A socket at any port, for both families where the machine has both.
pub(crate) fn anywhere() -> Result<UdpSocket> {
    let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    bound(six).or_else(|_| bound(four))
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(ipproto::UDP))?;
    // `::` stands for every address of the machine, as users mean it.
    if address.is_ipv6() && address.ip().is_unspecified() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // Beyond its limit the kernel raises the buffers only for root; less than was asked for works too, slower.
    if sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&socket, BUFFER);
    }
    if sockopt::set_socket_send_buffer_size_force(&socket, BUFFER).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(&socket, BUFFER);
    }
    bind(&socket, &address)?;
    Ok(UdpSocket::from(socket))
}
