//! Interfaces, addresses and routes through the kernel's own messages (`rtnetlink(7)`): a tool would take longer to start than all of this takes.
//!
//! A [`Socket`] acts in the network namespace of the thread that opened it. Requests are put together in a [`Batch`], which goes to the kernel in one
//! call; it works through them in order, and the first that fails is what [`Socket::perform`] reports.
//!
//! Deliberately absent: reading the state of the network, events, and whatever steps do not need.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::Error;

/// A connection to the kernel.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
}

/// Why a batch was not carried out to its end.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What was asked for.
    pub(super) action: &'static str,
    /// What the kernel said.
    pub(super) error: io::Error,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Network {
            action: refusal.action.to_owned(),
            problem: refusal.error.to_string(),
            hint: "the kernel needs veth and bridge support; `--network=host` and `--network=none` do without",
        }
    }
}

impl Socket {
    /// A socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        // No protocol means `NETLINK_ROUTE`.
        Ok(Self { fd: socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)? })
    }

    /// The number of an interface.
    pub(super) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.fd, name)?)
    }

    /// Sends a batch and waits until all of it is done.
    pub(super) fn perform(&self, mut batch: Batch) -> Result<(), Refusal> {
        let Some(last) = batch.messages.last().copied() else { return Ok(()) };
        // Failures are always answered; of success the last answer is enough.
        let flags = batch.field(last.start + 6) | NLM_F_ACK;
        batch.set(last.start + 6, flags);
        let failed = |error: rustix::io::Errno| Refusal { action: last.action, error: error.into() };
        send(&self.fd, &batch.bytes, SendFlags::empty()).map_err(failed)?;
        let mut refusal = None;
        let mut buffer = [0; ANSWER];
        loop {
            let (filled, _) = rustix::io::retry_on_intr(|| recv(&self.fd, &mut buffer, RecvFlags::empty()))
                .map_err(failed)?;
            let Some(Answer { sequence, errno }) = Answer::parse(&buffer[..filled]) else { continue };
            let Some(message) = batch.messages.get(sequence) else { continue };
            if errno != 0 && message.need == Need::Must && refusal.is_none() {
                refusal =
                    Some(Refusal { action: message.action, error: io::Error::from_raw_os_error(errno) });
            }
            if sequence + 1 == batch.messages.len() {
                return refusal.map_or(Ok(()), Err);
            }
        }
    }
}

/// A failed request comes back whole with its answer; none of ours is longer than a fraction of this.
const ANSWER: usize = 4096;

struct Answer {
    sequence: usize,
    errno: i32,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
        let errno = i32::from_ne_bytes(bytes.get(HEADER..HEADER + 4)?.try_into().ok()?);
        let is_answer = kind == NLMSG_ERROR;
        is_answer.then_some(Self { sequence: usize::try_from(sequence).ok()?, errno: -errno })
    }
}

/// Requests that belong together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    messages: Vec<Message>,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    start: usize,
    action: &'static str,
    need: Need,
}

/// Whether a batch fails with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Need {
    Must,
    /// The kernel may be without what is turned off.
    May,
}

/// Which interface a request is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link<'a> {
    Index(u32),
    Name(&'a str),
}

/// One end of a pair of interfaces.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) mtu: u32,
}

impl Batch {
    /// Makes a bridge that is down, with a fixed hardware address.
    pub(super) fn add_bridge(&mut self, name: &str, address: [u8; 6], mtu: u32) {
        self.message("make a bridge", libc::RTM_NEWLINK, CREATE, |it| {
            it.interface(Link::Name(name), 0);
            it.attribute(libc::IFLA_ADDRESS, &address);
            it.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
            it.nest(libc::IFLA_LINKINFO, |it| it.attribute(libc::IFLA_INFO_KIND, b"bridge"));
        });
    }

    /// Makes a pair of interfaces: `port` here, down, as part of the bridge with index `bridge`, and `inside`, down, in another namespace.
    /// Neither can be brought up before the other exists.
    pub(super) fn add_pair(
        &mut self,
        port: End<'_>,
        bridge: u32,
        inside: End<'_>,
        namespace: BorrowedFd<'_>,
    ) {
        self.message("make a pair of interfaces", libc::RTM_NEWLINK, CREATE, |it| {
            it.interface(Link::Name(port.name), 0);
            it.attribute(libc::IFLA_MTU, &port.mtu.to_ne_bytes());
            it.attribute(libc::IFLA_MASTER, &bridge.to_ne_bytes());
            it.nest(libc::IFLA_LINKINFO, |it| {
                it.attribute(libc::IFLA_INFO_KIND, b"veth");
                it.nest(libc::IFLA_INFO_DATA, |it| {
                    it.nest(VETH_INFO_PEER, |it| {
                        it.interface(Link::Name(inside.name), 0);
                        it.attribute(libc::IFLA_MTU, &inside.mtu.to_ne_bytes());
                        it.attribute(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
                    });
                });
            });
        });
    }

    /// Keeps an interface from giving itself IPv6 addresses, if the kernel knows of IPv6.
    pub(super) fn no_ipv6_addresses(&mut self, link: Link<'_>) {
        self.message("turn off IPv6 addresses", libc::RTM_NEWLINK, 0, |it| {
            it.interface(link, 0);
            it.nest(libc::IFLA_AF_SPEC, |it| {
                it.nest(ADDRESS_FAMILY_INET6, |it| {
                    it.attribute(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]);
                });
            });
        });
        if let Some(last) = self.messages.last_mut() {
            last.need = Need::May;
        }
    }

    /// Keeps a bridge's port from reaching other ports that are kept likewise.
    pub(super) fn isolate(&mut self, port: Link<'_>) {
        self.message("isolate a bridge's port", libc::RTM_NEWLINK, 0, |it| {
            it.interface(port, 0);
            it.nest(libc::IFLA_LINKINFO, |it| {
                it.attribute(libc::IFLA_INFO_SLAVE_KIND, b"bridge");
                it.nest(libc::IFLA_INFO_SLAVE_DATA, |it| it.attribute(IFLA_BRPORT_ISOLATED, &[1]));
            });
        });
    }

    /// Brings an interface up.
    pub(super) fn up(&mut self, link: Link<'_>) {
        self.message("bring up an interface", libc::RTM_NEWLINK, 0, |it| it.interface(link, IFF_UP));
    }

    /// Removes an interface.
    pub(super) fn remove(&mut self, link: Link<'_>) {
        self.message("remove an interface", libc::RTM_DELLINK, 0, |it| it.interface(link, 0));
    }

    /// Gives an interface an address.
    pub(super) fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) {
        self.message("give an interface its address", libc::RTM_NEWADDR, CREATE, |it| {
            let [a, b, c, d] = index.to_ne_bytes();
            it.bytes.extend([FAMILY_INET, prefix, 0, libc::RT_SCOPE_UNIVERSE, a, b, c, d]);
            it.attribute(libc::IFA_LOCAL, &address.octets());
            it.attribute(libc::IFA_ADDRESS, &address.octets());
        });
    }

    /// Sends what has no other route to `gateway`.
    pub(super) fn add_default_route(&mut self, gateway: Ipv4Addr) {
        self.message("add the default route", libc::RTM_NEWROUTE, CREATE, |it| {
            let (table, protocol) = (libc::RT_TABLE_MAIN, libc::RTPROT_BOOT);
            let (scope, kind) = (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
            it.bytes.extend([FAMILY_INET, 0, 0, 0, table, protocol, scope, kind, 0, 0, 0, 0]);
            it.attribute(libc::RTA_GATEWAY, &gateway.octets());
        });
    }

    fn message(&mut self, action: &'static str, kind: u16, flags: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        let sequence = u32::try_from(self.messages.len()).expect("a batch is short");
        self.messages.push(Message { start, action, need: Need::Must });
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).expect("a batch is short");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// `struct ifinfomsg` and the name, with those of `flags` set.
    fn interface(&mut self, link: Link<'_>, flags: u32) {
        let index = match link {
            Link::Index(index) => index,
            Link::Name(_) => 0,
        };
        self.bytes.extend([0, 0, 0, 0]);
        for field in [index, flags, flags] {
            self.bytes.extend(field.to_ne_bytes());
        }
        if let Link::Name(name) = link {
            let name = [name.as_bytes(), &[0]].concat();
            self.attribute(libc::IFLA_IFNAME, &name);
        }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |it| it.bytes.extend(value));
    }

    /// An attribute whose value `fill` appends.
    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend(0_u16.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("an attribute is short");
        self.set(start, length);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn field(&self, at: usize) -> u16 {
        u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn set(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Size of `struct nlmsghdr`.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
/// `NLM_F_CREATE` and `NLM_F_EXCL`.
const CREATE: u16 = 0x400 | 0x200;
const IFF_UP: u32 = 1;
const FAMILY_INET: u8 = 2;
const ADDRESS_FAMILY_INET6: u16 = 10;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_BRPORT_ISOLATED: u16 = 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_asked_for_in_the_kernels_layout() {
        let mut batch = Batch::default();
        batch.up(Link::Name("lo"));
        let header = [40_u32.to_ne_bytes(), [16, 0, 1, 0], [0; 4], [0; 4]].concat();
        let interface = [[0; 4], [0; 4], IFF_UP.to_ne_bytes(), IFF_UP.to_ne_bytes()].concat();
        let name = [7, 0, 3, 0, b'l', b'o', 0, 0];
        assert_eq!(batch.bytes, [header, interface, name.to_vec()].concat());
    }

    #[test]
    fn a_refusal_names_what_was_refused_first() {
        let mut batch = Batch::default();
        batch.up(Link::Name("lo"));
        batch.remove(Link::Name("farm-none"));
        batch.isolate(Link::Name("farm-none"));
        let refusal = Socket::open().unwrap().perform(batch).unwrap_err();
        assert_eq!(refusal.action, "remove an interface");
    }
}
