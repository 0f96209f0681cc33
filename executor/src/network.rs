//! The network of steps: a namespace each, behind NAT, made ahead of time.
//!
//! ```text
//! step: eth0 10.x.y.z ──veth── farmN (bridge, 10.x.0.1) ──masquerade── the host's way out
//! ```
//!
//! - A namespace is held by a descriptor of this process and has no name, so it dies with this process and takes its veth pair along.
//!   What can be left behind is one bridge and its firewall table, which [`sweep`] removes and the next pool replaces.
//! - Which bridge belongs to whom is settled by a lock that dies with its holder: an abstract unix socket, which is per network namespace,
//!   as bridges are.
//! - Steps cannot reach each other (isolated bridge ports, and a rule against the detour through the host), nor the host's loopback or
//!   link-local addresses. They can reach services on the host's other addresses, as in Docker.
//! - IPv4 only: IPv6 is off on the interfaces and dropped on the bridge. `::1` works.
//!
//! Interfaces and routes are made by the kernel's own messages, since every step needs some. `nft` (or `iptables`) makes the firewall, once a
//! process: it is kept up with the kernel by others.
//!
//! A namespace from which nothing was sent is lent out again, which spares most steps the making of one: see [`namespace`].

mod bridge;
mod files;
mod firewall;
mod namespace;
mod netlink;
mod pool;
mod tool;

pub use files::{hosts_file, resolv_conf, resolv_conf_path};
pub use namespace::NetworkNamespace;
pub(crate) use namespace::isolated;
pub use pool::NetworkPool;

/// What Docker opens up in a container's own namespace, below `/proc/sys/net`.
const OPEN_SWITCHES: [(&str, &str); 2] =
    [("ipv4/ip_unprivileged_port_start", "0"), ("ipv4/ping_group_range", "0 2147483647")];

/// Removes the bridges and firewall tables of dead processes.
pub(crate) fn sweep() {
    bridge::sweep();
}
