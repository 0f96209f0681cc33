//! Network namespaces of steps.
//!
//! Placeholder of the types until the pool stands.

use std::net::Ipv4Addr;

/// A network namespace that one container may use.
#[derive(Clone, Debug)]
pub struct NetworkNamespace {
    address: Ipv4Addr,
}

impl NetworkNamespace {
    /// Its address behind the NAT.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}
