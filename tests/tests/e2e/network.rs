//! Networks, hosts and limits of steps, as the command line sets them.

use std::net::TcpListener;
use std::thread;

use farm_tests::context::Context;
use farm_tests::farm::Farm;

/// A server on the host's loopback that answers every connection.
fn host_service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    thread::spawn(move || listener.incoming().for_each(drop));
    port
}

#[test]
fn the_host_s_loopback_is_reachable_only_with_the_host_s_network() {
    let port = host_service();
    let farm = Farm::new();
    farm.reach(&format!("127.0.0.1:{port}"));
    let probe = format!("nc -w 3 127.0.0.1 {port} < /dev/null && echo reached > /x || echo refused > /x");
    let own = farm.build(Context::new(&format!("FROM busybox\nRUN {probe}\n")).path()).run().expect(0);
    assert_eq!(own.files().text("x"), "refused\n");
    let host = farm
        .build(Context::new(&format!("FROM busybox\nRUN --network=host {probe}\n")).path())
        .run()
        .expect(0);
    assert_eq!(host.files().text("x"), "reached\n");
    let chosen = farm
        .build(Context::new(&format!("FROM busybox\nRUN {probe}\n")).path())
        .option("--network", "host")
        .run()
        .expect(0);
    assert_eq!(chosen.files().text("x"), "reached\n");
}

#[test]
fn a_step_has_a_route_to_the_outside_by_default() {
    let farm = Farm::new();
    let context = Context::new(
        "FROM busybox\nRUN ip route | grep -c ^default > /x\nRUN --network=none ip route | wc -l > /y\n",
    );
    let files = farm.build(context.path()).run().expect(0).files();
    assert_eq!((files.text("x"), files.text("y")), ("1\n".to_owned(), "0\n".to_owned()));
}

#[test]
fn hosts_shared_memory_and_limits_are_those_of_the_command_line() {
    let farm = Farm::new();
    let context = Context::new(
        "FROM busybox\nRUN grep -w name.example /etc/hosts > /hosts && df -k /dev/shm | tail -n 1 | awk '{print $2}' > /shm \
         && ulimit -n > /soft && ulimit -Hn > /hard && hostname > /name\n",
    );
    let outcome = farm
        .build(context.path())
        .option("--add-host", "name.example:192.0.2.7")
        .option("--shm-size", "48m")
        .option("--ulimit", "nofile=1000:2000")
        .option("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=boxy")
        .run()
        .expect(0);
    let files = outcome.files();
    assert!(files.text("hosts").starts_with("192.0.2.7"), "{}", files.text("hosts"));
    assert_eq!(files.text("shm"), "49152\n");
    assert_eq!((files.text("soft"), files.text("hard")), ("1000\n".to_owned(), "2000\n".to_owned()));
    assert_eq!(files.text("name"), "boxy\n");
}

#[test]
fn the_build_host_s_environment_never_leaks_in() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN env > /x\n");
    let files = farm.build(context.path()).env("LEAKY", "leaky-value").run().expect(0).files();
    assert!(!files.text("x").contains("LEAKY") && !files.text("x").contains("CARGO"), "{}", files.text("x"));
}
