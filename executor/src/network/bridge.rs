//! One bridge per process, with a subnet that does not clash and a fixed address for the gateway.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

use super::firewall;
use super::netlink::{Batch, Link, Socket};
use crate::Error;

/// More processes of one host do not share its network.
const SLOTS: u8 = 64;

/// A bridge that this process owns; dropping it removes it.
#[derive(Debug)]
pub(super) struct Bridge {
    name: String,
    slot: u8,
    index: u32,
    /// In the network namespace of the bridge, wherever the thread that uses it is.
    socket: Mutex<Socket>,
    subnet: Subnet,
    mtu: u32,
    addresses: Mutex<Addresses>,
    _lock: UnixListener,
}

impl Bridge {
    /// Takes the first free slot and sets up its bridge, replacing what a dead owner left of it.
    pub(super) fn set_up() -> Result<Self, Error> {
        let (slot, lock) =
            (0..SLOTS).find_map(|slot| Some((slot, lock(slot)?))).ok_or_else(|| Error::Network {
                action: "find a free bridge".to_owned(),
                problem: format!("{SLOTS} processes have one already"),
                hint: "stop some of them",
            })?;
        let name = name(slot);
        remove(&name);
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        let subnet = Subnet::choose(&routes, slot).ok_or_else(|| Error::Network {
            action: "choose a subnet".to_owned(),
            problem: "every part of 10.0.0.0/8 is routed already".to_owned(),
            hint: "run the step with `--network=host`",
        })?;
        let mtu = mtu(&routes);
        let socket = Socket::open().map_err(no_socket)?;
        // A fixed hardware address: a bridge would otherwise change its own with each step that comes or goes.
        let mut batch = Batch::default();
        batch.add_bridge(&name, [0x02, 0xfa, 0x12, 0, 0, slot], mtu);
        batch.no_ipv6_addresses(Link::Name(&name));
        socket.perform(batch)?;
        let index = socket.index(&name).map_err(no_socket)?;
        let bridge = Self {
            name,
            slot,
            index,
            socket: Mutex::new(socket),
            subnet,
            mtu,
            addresses: Mutex::default(),
            _lock: lock,
        };
        let mut batch = Batch::default();
        batch.add_address(index, subnet.gateway(), PREFIX);
        batch.up(Link::Index(index));
        bridge.perform(batch)?;
        forward_packets()?;
        firewall::set_up(&bridge.name, subnet)?;
        Ok(bridge)
    }

    /// Carries out `batch` on the bridge's side.
    pub(super) fn perform(&self, batch: Batch) -> Result<(), Error> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.perform(batch).map_err(Error::from)
    }

    /// Its number among the interfaces.
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn slot(&self) -> u8 {
        self.slot
    }

    pub(super) fn mtu(&self) -> u32 {
        self.mtu
    }

    pub(super) fn gateway(&self) -> Ipv4Addr {
        self.subnet.gateway()
    }

    /// An address that no living namespace has. They are given out in turn, so that an old one is forgotten everywhere before it comes again.
    pub(super) fn take_address(&self) -> Option<Ipv4Addr> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in FIRST_HOST..LAST_HOST {
            let host = addresses.next.max(FIRST_HOST);
            addresses.next = if host >= LAST_HOST { FIRST_HOST } else { host + 1 };
            if addresses.used.insert(host) {
                return Some(self.subnet.address(host));
            }
        }
        None
    }

    pub(super) fn give_back(&self, address: Ipv4Addr) {
        let [_, _, high, low] = address.octets();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.used.remove(&u16::from_be_bytes([high, low]));
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

#[derive(Debug, Default)]
struct Addresses {
    next: u16,
    used: BTreeSet<u16>,
}

pub(super) const PREFIX: u8 = 16;
const FIRST_HOST: u16 = 2;
const LAST_HOST: u16 = 0xfffe;

/// `10.x.0.0/16`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Subnet {
    second: u8,
}

impl Subnet {
    fn choose(routes: &str, slot: u8) -> Option<Self> {
        let taken: Vec<(u32, u32)> =
            parse_routes(routes).map(|route| (route.destination, route.mask)).collect();
        let candidates =
            (0..=u8::MAX).map(|offset| Self { second: offset.wrapping_add(190).wrapping_add(slot) });
        candidates.into_iter().find(|subnet| {
            let base = u32::from(subnet.address(0));
            let own_mask = u32::MAX << (32 - PREFIX);
            taken.iter().filter(|(_, mask)| *mask != 0).all(|(destination, mask)| {
                let common = mask & own_mask;
                base & common != destination & common
            })
        })
    }

    fn address(self, host: u16) -> Ipv4Addr {
        let [high, low] = host.to_be_bytes();
        Ipv4Addr::new(10, self.second, high, low)
    }

    fn gateway(self) -> Ipv4Addr {
        self.address(1)
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{PREFIX}", self.address(0))
    }
}

struct Route<'a> {
    interface: &'a str,
    destination: u32,
    mask: u32,
}

/// Lines of `/proc/net/route`: numbers are hexadecimal in the byte order of the machine, of a value in network order.
fn parse_routes(routes: &str) -> impl Iterator<Item = Route<'_>> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    routes.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (interface, destination, mask) = (fields.first()?, fields.get(1)?, fields.get(7)?);
        Some(Route { interface, destination: number(destination)?, mask: number(mask)? })
    })
}

/// The packet size of the host's way out; a larger one inside would rely on fragmentation.
fn mtu(routes: &str) -> u32 {
    const ETHERNET: u32 = 1500;
    let default = parse_routes(routes).find(|route| route.mask == 0);
    let of = |interface: &str| {
        fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?.trim().parse().ok()
    };
    default.and_then(|route| of(route.interface)).unwrap_or(ETHERNET)
}

fn forward_packets() -> Result<(), Error> {
    const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
    if fs::read_to_string(SWITCH).is_ok_and(|value| value.trim() == "1") {
        return Ok(());
    }
    fs::write(SWITCH, "1").map_err(|error| Error::Network {
        action: "turn on packet forwarding".to_owned(),
        problem: error.to_string(),
        hint: "set the kernel parameter net.ipv4.ip_forward to 1",
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the form of a closure that maps errors")]
fn no_socket(error: std::io::Error) -> Error {
    Error::Network {
        action: "talk to the kernel about networks".to_owned(),
        problem: error.to_string(),
        hint: "the kernel needs rtnetlink; `--network=host` and `--network=none` do without",
    }
}

fn name(slot: u8) -> String {
    format!("farm{slot}")
}

/// Held until it is dropped or its process dies.
fn lock(slot: u8) -> Option<UnixListener> {
    let address = SocketAddr::from_abstract_name(format!("farm-network-{slot}")).ok()?;
    UnixListener::bind_addr(&address).ok()
}

/// Asks the kernel: `/sys` may show another network namespace than the one we are in.
fn exists(name: &str) -> bool {
    Socket::open().and_then(|socket| socket.index(name)).is_ok()
}

fn remove(name: &str) {
    if exists(name) {
        firewall::remove(name);
        let mut batch = Batch::default();
        batch.remove(Link::Name(name));
        if let Err(error) = Socket::open().map_err(no_socket).and_then(|it| Ok(it.perform(batch)?)) {
            tracing::warn!(%name, %error, "cannot remove a bridge");
        }
    }
}

/// Removes what dead owners left.
pub(super) fn sweep() {
    for slot in 0..SLOTS {
        let name = name(slot);
        if exists(&name)
            && let Some(_lock) = lock(slot)
        {
            remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        vpn0\t0000BE0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
        vpn1\t0040BF0A\t00000000\t0001\t0\t0\t0\t00C0FFFF\t0\t0\t0\n";

    #[test]
    fn a_subnet_that_is_routed_in_part_is_not_chosen() {
        assert_eq!(Subnet::choose(ROUTES, 0).unwrap().to_string(), "10.192.0.0/16");
        let everything = format!("{ROUTES}x\t0000000A\t00000000\t1\t0\t0\t0\t000000FF\t0\t0\t0\n");
        assert_eq!(Subnet::choose(&everything, 0), None);
    }

    #[test]
    fn the_default_route_is_the_one_without_a_mask() {
        let default = parse_routes(ROUTES).find(|route| route.mask == 0).unwrap();
        assert_eq!((default.interface, default.destination), ("eth0", 0));
    }
}
