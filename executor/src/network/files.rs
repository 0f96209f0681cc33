//! The content of `/etc/resolv.conf` and `/etc/hosts` of a container, as Docker makes it.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use crate::Network;

/// Where the host's own name servers are found: behind systemd-resolved's stub, which a container cannot reach, lies another file.
/// `etc` is the content of `/etc/resolv.conf`.
pub fn resolv_conf_path(etc: &str) -> &'static str {
    let mut servers = etc.lines().filter_map(name_server);
    if servers.next() == Some("127.0.0.53") && servers.next().is_none() {
        "/run/systemd/resolve/resolv.conf"
    } else {
        "/etc/resolv.conf"
    }
}

/// What a container sees, made from the content of the host's file. On a network of its own it cannot reach a name server on
/// the host's loopback; if no other is left, it gets public ones.
pub fn resolv_conf(host: &str, network: &Network) -> String {
    match network {
        Network::Host => return host.to_owned(),
        Network::Sandbox(_) | Network::None => {}
    }
    let unreachable = |server: &str| {
        let address = server.split('%').next().unwrap_or(server);
        address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_ipv6())
    };
    let kept = host.lines().filter(|line| !name_server(line).is_some_and(unreachable));
    let mut content: String = kept.flat_map(|line| [line, "\n"]).collect();
    if !content.lines().any(|line| name_server(line).is_some()) {
        for server in [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(8, 8, 4, 4)] {
            writeln!(content, "nameserver {server}").expect("a string takes everything");
        }
    }
    content
}

fn name_server(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    if words.next()? == "nameserver" { words.next() } else { None }
}

/// The usual names, those that the user added, and the container's own.
pub fn hosts_file(hostname: &str, address: Option<IpAddr>, extra: &[(String, IpAddr)]) -> String {
    let mut content = "127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::\tip6-localnet\n\
        ff00::\tip6-mcastprefix\n\
        ff02::1\tip6-allnodes\n\
        ff02::2\tip6-allrouters\n"
        .to_owned();
    let own = address.map(|address| (hostname, address));
    let extra = extra.iter().map(|(name, address)| (name.as_str(), *address));
    for (name, address) in extra.chain(own) {
        writeln!(content, "{address}\t{name}").expect("a string takes everything");
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_on_loopback_are_left_out() {
        let host =
            "search example.org\nnameserver 127.0.0.1\nnameserver 192.0.2.7\nnameserver ::1\noptions edns0\n";
        let inside = resolv_conf(host, &Network::None);
        assert_eq!(inside, "search example.org\nnameserver 192.0.2.7\noptions edns0\n");
        assert_eq!(resolv_conf(host, &Network::Host), host);
    }

    #[test]
    fn public_name_servers_stand_in_when_none_is_left() {
        let inside = resolv_conf("nameserver 127.0.0.53\nnameserver fe80::1%eth0\n", &Network::None);
        assert_eq!(inside, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn the_file_behind_the_stub_is_found() {
        assert_eq!(
            resolv_conf_path("nameserver 127.0.0.53\noptions trust-ad\n"),
            "/run/systemd/resolve/resolv.conf"
        );
        assert_eq!(resolv_conf_path("nameserver 127.0.0.53\nnameserver 192.0.2.1\n"), "/etc/resolv.conf");
    }

    #[test]
    fn added_hosts_come_before_the_containers_own() {
        let extra = [("db".to_owned(), "192.0.2.9".parse().unwrap())];
        let file = hosts_file("step", Some("10.1.2.3".parse().unwrap()), &extra);
        assert!(
            file.starts_with("127.0.0.1\tlocalhost\n") && file.ends_with("192.0.2.9\tdb\n10.1.2.3\tstep\n"),
            "{file}"
        );
    }
}
