//! One network namespace, ready for a step.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::bridge::Bridge;
use super::netlink::{Batch, End, Link, Socket};
use super::pool::Shared;
use crate::{Error, sys};

/// A network namespace for one container, from a [`NetworkPool`](super::NetworkPool). When the last clone is dropped and its processes
/// are gone, it is destroyed, or given to another container if nothing was ever sent from it.
#[derive(Clone, Debug)]
pub struct NetworkNamespace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connected: Option<Connected>,
    pool: Weak<Shared>,
}

/// A namespace that is connected to the bridge.
#[derive(Debug)]
pub(super) struct Connected {
    fd: OwnedFd,
    address: Address,
}

impl NetworkNamespace {
    /// Lends `connected` out; it goes back to `pool` if that lives.
    pub(super) fn new(connected: Connected, pool: Weak<Shared>) -> Self {
        Self { inner: Arc::new(Inner { connected: Some(connected), pool }) }
    }

    /// Its address behind the NAT, for [`hosts_file`](super::hosts_file).
    pub fn address(&self) -> Ipv4Addr {
        self.inner.connected().address.value
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.connected().fd.as_fd()
    }
}

impl Inner {
    fn connected(&self) -> &Connected {
        self.connected.as_ref().expect("it is taken out on drop alone")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let (Some(connected), Some(pool)) = (self.connected.take(), self.pool.upgrade()) {
            pool.take_back(connected);
        }
    }
}

impl Connected {
    /// Makes a namespace that is connected to `bridge`.
    pub(super) fn make(bridge: &Arc<Bridge>) -> Result<Self, Error> {
        let value = bridge.take_address().ok_or_else(|| Error::Network {
            action: "find an address".to_owned(),
            problem: "all are in use".to_owned(),
            hint: "run fewer steps at once",
        })?;
        let address = Address { value, bridge: Arc::clone(bridge) };
        let fd = in_a_thread(|| {
            let fd = empty_namespace().map_err(|e| failed("make a network namespace", &e))?;
            connect(bridge, &fd, value)?;
            Ok(fd)
        })?;
        Ok(Self { fd, address })
    }

    /// Whether it cannot be told from a new one: no packet ever left it, and nothing is left that could still send one. A container without
    /// `CAP_NET_ADMIN`, as all are, can change nothing else in it.
    pub(super) fn is_pristine(&self) -> bool {
        in_a_thread(|| {
            let failed = |e| failed("look into a network namespace", &e);
            move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|e| failed(e.into()))?;
            let read =
                |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).map_err(failed);
            Ok(has_no_sockets(&read("sockstat")?) && has_sent_nothing(&read("dev")?))
        })
        .unwrap_or(false)
    }
}

/// A namespace with nothing but a loopback interface.
pub(crate) fn isolated() -> Result<OwnedFd, Error> {
    in_a_thread(|| {
        let fd = empty_namespace().map_err(|e| failed("make a network namespace", &e))?;
        let socket = Socket::open().map_err(|e| failed("talk to the kernel about networks", &e))?;
        let mut batch = Batch::default();
        batch.up(Link::Name("lo"));
        socket.perform(batch)?;
        Ok(fd)
    })
}

/// Runs `action` in a thread of its own, whose namespace it may change.
fn in_a_thread<T: Send>(action: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("network".to_owned()).spawn_scoped(scope, action);
        let thread = thread.map_err(|e| failed("start a thread", &e))?;
        thread.join().map_err(|_panic| failed("wait for a thread", &std::io::ErrorKind::Other.into()))?
    })
}

/// Gives the calling thread a new network namespace.
fn empty_namespace() -> std::io::Result<OwnedFd> {
    sys::unshare(libc::CLONE_NEWNET)?;
    let fd = File::open("/proc/thread-self/ns/net")?;
    // As Docker does, any user may open low ports and send pings. A kernel without a switch restricts nothing that it would open up.
    for (switch, value) in super::OPEN_SWITCHES.into_iter().chain([("ipv6/conf/default/disable_ipv6", "1")]) {
        let _absent = fs::write(format!("/proc/sys/net/{switch}"), value);
    }
    Ok(fd.into())
}

/// Connects the calling thread's namespace to the bridge.
fn connect(bridge: &Bridge, namespace: &OwnedFd, address: Ipv4Addr) -> Result<(), Error> {
    const INSIDE: &str = "eth0";
    let mut random = [0; 3];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| failed("draw a random name", &e.into()))?;
    let mut port = format!("fv{}-", bridge.slot());
    for byte in random {
        write!(port, "{byte:02x}").expect("a string takes everything");
    }
    let mtu = bridge.mtu();
    let mut outside = Batch::default();
    let pair = (End { name: &port, mtu }, End { name: INSIDE, mtu });
    outside.add_pair(pair.0, bridge.index(), pair.1, namespace.as_fd());
    outside.no_ipv6_addresses(Link::Name(&port));
    outside.isolate(Link::Name(&port));
    outside.up(Link::Name(&port));
    bridge.perform(outside)?;
    let socket = Socket::open().map_err(|e| failed("talk to the kernel about networks", &e))?;
    let index = socket.index(INSIDE).map_err(|e| failed("find an interface", &e))?;
    let mut inside = Batch::default();
    inside.up(Link::Name("lo"));
    inside.up(Link::Index(index));
    inside.add_address(index, address, super::bridge::PREFIX);
    inside.add_default_route(bridge.gateway());
    socket.perform(inside).map_err(Error::from)
}

fn failed(action: &str, error: &std::io::Error) -> Error {
    Error::Network {
        action: action.to_owned(),
        problem: error.to_string(),
        hint: "the kernel must allow network namespaces and veth interfaces; `--network=host` and `--network=none` do without",
    }
}

/// Reads `/proc/net/sockstat`: no socket is open, and no closed one still waits for late packets.
fn has_no_sockets(sockstat: &str) -> bool {
    let count = |line: &str, name: &str| {
        let mut words = sockstat.lines().find_map(|all| all.strip_prefix(line))?.split_whitespace();
        words.find(|word| *word == name).and_then(|_| words.next())?.parse::<u64>().ok()
    };
    count("sockets:", "used") == Some(0)
        && count("TCP:", "inuse") == Some(0)
        && count("TCP:", "tw") == Some(0)
}

/// Reads `/proc/net/dev`: no interface has sent a packet.
fn has_sent_nothing(dev: &str) -> bool {
    const SENT_PACKETS: usize = 9;
    let mut interfaces = dev.lines().skip(2).peekable();
    interfaces.peek().is_some()
        && interfaces.all(|line| {
            line.split_once(':').and_then(|(_, counts)| counts.split_whitespace().nth(SENT_PACKETS))
                == Some("0")
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_a_socket_or_a_late_connection_is_not_as_new() {
        let idle = "sockets: used 0\nTCP: inuse 0 orphan 7 tw 0 alloc 9 mem 0\nUDP: inuse 0 mem 0\n";
        assert!(has_no_sockets(idle));
        assert!(!has_no_sockets(&idle.replace("used 0", "used 1")));
        assert!(!has_no_sockets(&idle.replace("tw 0", "tw 1")));
        assert!(!has_no_sockets(""));
    }

    #[test]
    fn a_namespace_that_sent_a_packet_is_not_as_new() {
        let header = "Inter-| Receive | Transmit\n face |bytes packets\n";
        let silent = "  eth0: 90 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        assert!(has_sent_nothing(&format!("{header}{silent}")));
        assert!(!has_sent_nothing(&format!("{header}{silent}    lo: 0 0 0 0 0 0 0 0 84 1 0 0 0 0 0 0\n")));
        assert!(!has_sent_nothing(header));
    }
}
