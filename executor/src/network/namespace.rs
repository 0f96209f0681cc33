//! One network namespace, ready for a step.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use super::bridge::Bridge;
use super::tool;
use crate::{Error, sys};

/// A network namespace for one container, from a [`NetworkPool`](super::NetworkPool). It is destroyed when the last clone is dropped
/// and its processes are gone.
#[derive(Clone, Debug)]
pub struct NetworkNamespace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    address: Address,
}

impl NetworkNamespace {
    /// Its address behind the NAT, for [`hosts_file`](super::hosts_file).
    pub fn address(&self) -> Ipv4Addr {
        self.inner.address.value
    }

    /// Makes a namespace that is connected to `bridge`.
    pub(super) fn connected_to(bridge: &Arc<Bridge>) -> Result<Self, Error> {
        let value = bridge.take_address().ok_or_else(|| Error::Network {
            action: "find an address".to_owned(),
            problem: "all are in use".to_owned(),
            hint: "run fewer steps at once",
        })?;
        let address = Address { value, bridge: Arc::clone(bridge) };
        let mut random = [0; 3];
        let failed = |error: std::io::Error| Error::Network {
            action: "make a network namespace".to_owned(),
            problem: error.to_string(),
            hint: "the kernel must allow network namespaces",
        };
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| failed(e.into()))?;
        let mut port = format!("fv{}-", bridge.slot());
        for byte in random {
            write!(port, "{byte:02x}").expect("a string takes everything");
        }
        let (mtu, gateway) = (bridge.mtu(), bridge.gateway());
        let inside = format!(
            "link set lo up\n\
             link add eth0 mtu {mtu} type veth peer name {port} mtu {mtu} netns {host}\n\
             addr add {value}/16 dev eth0\n\
             link set eth0 up\n\
             route add default via {gateway}\n",
            host = std::process::id(),
        );
        // A namespace is a thread's; the tool started from the thread configures it.
        let make = move || -> Result<OwnedFd, Error> {
            sys::unshare(libc::CLONE_NEWNET).map_err(failed)?;
            let fd = File::open("/proc/thread-self/ns/net").map_err(failed)?.into();
            // A kernel without IPv6 has no such file.
            let _absent = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            tool::run("ip", &["-batch", "-"], &inside)?;
            Ok(fd)
        };
        let thread = thread::Builder::new().name("network".to_owned()).spawn(make).map_err(failed)?;
        let fd = thread.join().map_err(|_panic| failed(std::io::ErrorKind::Other.into()))??;
        let outside = format!(
            "link set {port} addrgenmode none\n\
             link set {port} master {bridge}\n\
             link set {port} type bridge_slave isolated on\n\
             link set {port} up\n",
            bridge = bridge.name(),
        );
        tool::run("ip", &["-batch", "-"], &outside)?;
        Ok(Self { inner: Arc::new(Inner { fd, address }) })
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}

/// Given back when dropped. Keeps the bridge for as long as somebody is connected to it.
#[derive(Debug)]
struct Address {
    value: Ipv4Addr,
    bridge: Arc<Bridge>,
}

impl Drop for Address {
    fn drop(&mut self) {
        self.bridge.give_back(self.value);
    }
}
