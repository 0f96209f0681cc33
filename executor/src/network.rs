//! Network namespaces of steps.
//!
//! Placeholder of the types until the pool stands.

use std::net::Ipv4Addr;

/// A network namespace that one container may use.
#[derive(Clone, Debug)]
pub struct NetworkNamespace {
    address: Ipv4Addr,
    fd: std::sync::Arc<std::os::fd::OwnedFd>,
}

impl std::os::fd::AsFd for NetworkNamespace {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NetworkNamespace {
    /// Its address behind the NAT.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}
