//! What a command can reach.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;

use farm_executor::{CancelFlag, Exit, Network, NetworkPool, Stream, hosts_file};

use crate::Test;
use crate::support::{World, bridge_of, eventually, exists};

pub(crate) const TESTS: &[Test] = &[
    ("without_a_network_there_is_only_loopback", without_a_network_there_is_only_loopback),
    ("the_hosts_network_is_the_hosts", the_hosts_network_is_the_hosts),
    ("a_sandbox_reaches_the_host_but_not_its_loopback", sandbox_reach),
    ("sandboxes_cannot_reach_each_other", sandboxes_cannot_reach_each_other),
    ("a_sandbox_sends_nothing_to_link_local_addresses", link_local_is_dropped),
    ("a_sandbox_gets_out_through_nat", sandbox_gets_out),
    ("a_pool_leaves_nothing_behind", a_pool_leaves_nothing_behind),
    ("a_network_from_which_nothing_was_sent_is_lent_again", silent_namespaces_are_lent_again),
    ("two_pools_do_not_disturb_each_other", two_pools_do_not_disturb_each_other),
];

fn without_a_network_there_is_only_loopback() {
    let world = World::new();
    let output = world.output("ls /sys/class/net; ping -c1 -w5 127.0.0.1 >/dev/null && echo up; nc -w2 192.0.2.1 80 </dev/null 2>&1 | grep -c unreachable");
    assert_eq!(output, "lo\nup\n1\n");
}

fn the_hosts_network_is_the_hosts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"from the host\n"));
    let world = World::new();
    let mut container = world.shell(&format!("nc 127.0.0.1 {port} </dev/null"));
    container.network = Network::Host;
    assert_eq!(world.run(&container).unwrap().ok(), "from the host\n");
    answer.join().unwrap().unwrap();
}

fn sandbox_reach() {
    let world = World::new();
    let pool = NetworkPool::new(1);
    let namespace = pool.take().unwrap();
    let [a, b, ..] = namespace.address().octets();
    let gateway = format!("{a}.{b}.0.1");
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut peer, _)) = listener.accept() {
            let _gone = peer.write_all(b"hello\n");
        }
    });
    let address = namespace.address();
    let script = format!(
        "nc -w5 {gateway} {port} </dev/null; nc -w2 127.0.0.1 {port} </dev/null || echo own loopback; \
         ip -4 addr show eth0 | sed -n 's/.*inet \\([^/]*\\).*/\\1/p'; ping -c1 -w5 {gateway} > /dev/null && echo ping; tail -1 /etc/hosts; \
         ls /proc/net/if_inet6 >/dev/null 2>&1 && grep -c eth0 /proc/net/if_inet6"
    );
    let mut container = world.shell(&script);
    container.network = Network::Sandbox(namespace);
    container.hosts = hosts_file("step", Some(address.into()), &[]);
    let ran = world.run(&container).unwrap();
    let expected = format!("hello\nown loopback\n{address}\nping\n{address}\tstep\n");
    assert!(ran.stdout == expected || ran.stdout == format!("{expected}0\n"), "{ran:?}");
}

fn sandboxes_cannot_reach_each_other() {
    let world = World::new();
    let pool = NetworkPool::new(0);
    let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
    let target = first.address();
    let mut server = world.shell("echo ready; nc -l -p 4000 -e echo reached");
    server.network = Network::Sandbox(first);
    let [a, b, ..] = target.octets();
    // Directly, and by the detour through the gateway.
    let mut client = world.shell(&format!(
        "nc -w2 {target} 4000 </dev/null || echo refused; ping -c1 -w1 {target} >/dev/null || echo silent; \
         ping -c1 -w5 {a}.{b}.0.1 >/dev/null && echo gateway"
    ));
    client.network = Network::Sandbox(second);
    let cancel = CancelFlag::new().unwrap();
    let (ready, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut output = |stream, _: &[u8]| {
                if stream == Stream::Stdout {
                    let _closed = ready.send(());
                }
            };
            world.executor.run(&server, &mut output, &cancel).unwrap()
        });
        is_ready.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        let ran = world.run(&client).unwrap();
        cancel.cancel();
        assert_eq!(server.join().unwrap().exit, Exit::Cancelled);
        assert_eq!(ran.stdout, "refused\nsilent\ngateway\n", "{ran:?}");
    });
}

fn link_local_is_dropped() {
    let world = World::new();
    let pool = NetworkPool::new(0);
    // An address of the host that is link-local, as a metadata service on the host's side would have.
    let link = "farm-test-ll";
    let ip = |arguments: &str| Command::new("ip").args(arguments.split(' ')).status().unwrap().success();
    assert!(
        ip(&format!("link add {link} type bridge"))
            && ip(&format!("addr add 169.254.77.1/32 dev {link}"))
            && ip(&format!("link set {link} up"))
    );
    let mut container = world.shell("ping -c1 -w1 169.254.77.1 >/dev/null || echo dropped");
    container.network = Network::Sandbox(pool.take().unwrap());
    let ran = world.run(&container);
    assert!(ip(&format!("link delete {link}")));
    assert_eq!(ran.unwrap().ok(), "dropped\n");
}

/// Goes through the NAT to an address of the host that is not on the bridge.
fn sandbox_gets_out() {
    let world = World::new();
    let pool = NetworkPool::new(0);
    let namespace = pool.take().unwrap();
    let inside = namespace.address();
    // A namespace beyond the host, which only knows the host.
    let mut far = Command::new("unshare")
        .args(["--net", "/bin/sh", "-c"])
        .arg(
            "until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done; ip addr add 198.51.100.2/30 dev eth0; \
             ip link set eth0 up; exec /bin/busybox nc -l -p 4001 -e /bin/busybox true",
        )
        .spawn()
        .unwrap();
    eventually("the far side has a namespace", || {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        of(&far.id().to_string()) != of("self")
    });
    let setup = format!(
        "ip link add farm-test-a type veth peer name eth0 netns {} && ip addr add 198.51.100.1/30 dev farm-test-a && \
         ip link set farm-test-a up",
        far.id()
    );
    assert!(Command::new("/bin/sh").args(["-c", &setup]).status().unwrap().success());
    let mut container =
        world.shell("until nc -w2 198.51.100.2 4001 </dev/null; do sleep 0.05; done; echo through");
    container.network = Network::Sandbox(namespace);
    container.limits.timeout = Some(std::time::Duration::from_secs(20));
    let ran = world.run(&container);
    let _gone = far.kill();
    far.wait().unwrap();
    let ran = ran.unwrap();
    // The far side has no route to the step's own address, so an answer proves that it saw the host's.
    assert!(ran.stdout.ends_with("through\n") && ran.outcome.exit == Exit::Code(0), "{inside} {ran:?}");
}

fn a_pool_leaves_nothing_behind() {
    let pool = NetworkPool::new(2);
    pool.prepare();
    let taken = pool.take().unwrap();
    let bridge = bridge_of(taken.address()).unwrap();
    assert!(exists(&bridge));
    drop(pool);
    assert!(exists(&bridge), "somebody is still connected");
    drop(taken);
    // The kernel destroys namespaces in the background.
    eventually(&format!("{bridge} is gone"), || !exists(&bridge));
}

fn two_pools_do_not_disturb_each_other() {
    let (first, second) = (NetworkPool::new(0), NetworkPool::new(0));
    let (one, other) = (first.take().unwrap(), second.take().unwrap());
    assert_ne!(one.address().octets()[1], other.address().octets()[1]);
    drop((other, second));
    let world = World::new();
    let [a, b, ..] = one.address().octets();
    let mut container = world.shell(&format!("ping -c1 -w5 {a}.{b}.0.1 >/dev/null && echo connected"));
    container.network = Network::Sandbox(one);
    assert_eq!(world.run(&container).unwrap().ok(), "connected\n");
}

fn silent_namespaces_are_lent_again() {
    let world = World::new();
    let pool = NetworkPool::new(1);
    let run = |script: &str| {
        let namespace = pool.take().unwrap();
        let address = namespace.address();
        let mut container = world.shell(script);
        container.network = Network::Sandbox(namespace);
        world.run(&container).unwrap().ok();
        address
    };
    let talker = run("ping -c1 -w5 127.0.0.1");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        // What it may do without sending anything must not be seen by the next one either.
        let address = run(
            "grep -q sockets:.used.0 /proc/net/sockstat; ip link set eth0 down 2>/dev/null && exit 1; true",
        );
        assert_ne!(address, talker, "it has sent something");
        seen.insert(address);
    }
    assert!(seen.len() < 10, "{seen:?}");
}
