//! Network namespaces that are joined by a bridge in a namespace of its own, and lead nowhere else.
//!
//! ```text
//! client 198.18.0.10 ─┐
//! coordinator .11 ────┼── bridge (a namespace without a way to the host)
//! worker-1 .12 ───────┤
//! worker-2 .13 ───────┘
//! ```
//!
//! A namespace is held by a process that waits for the end of a pipe from us. So it goes away with the value, and also when
//! the test is killed, and since it has no name outside, farms that run in parallel may use the same addresses.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const SUBNET: [u8; 3] = [198, 18, 0];
const PREFIX: u8 = 24;
const FIRST_HOST: u8 = 10;

/// Several namespaces and the bridge between them.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Namespace>,
    // Held for its bridge.
    _hub: Namespace,
}

impl Network {
    /// As many connected namespaces as asked for.
    pub fn of(count: u8) -> Result<Self, String> {
        let hub = Namespace::new()?;
        let nodes = (0..count).map(|_| Namespace::new()).collect::<Result<Vec<_>, _>>()?;
        let mut setup = "link add bridge0 type bridge\nlink set bridge0 up\n".to_owned();
        for (number, node) in nodes.iter().enumerate() {
            let port = format!("port{number}");
            setup +=
                &["link add ", &port, " type veth peer name eth0 netns ", &node.pid().to_string()].concat();
            setup += &["\nlink set ", &port, " master bridge0\nlink set ", &port, " up\n"].concat();
        }
        hub.ip(&setup)?;
        let [a, b, c] = SUBNET;
        let gateway = Ipv4Addr::new(a, b, c, 1);
        for (number, node) in (0..count).zip(&nodes) {
            let own = Self::address(number);
            // The gateway does not exist: a machine has a way out, and this one ends here.
            node.ip(&format!(
                "link set lo up\naddr add {own}/{PREFIX} dev eth0\nlink set eth0 up\nroute add default via {gateway}\n"
            ))?;
        }
        Ok(Self { nodes, _hub: hub })
    }

    /// All of the namespaces, in the order of their numbers.
    pub fn nodes(&self) -> &[Namespace] {
        &self.nodes
    }

    /// One of the namespaces.
    pub fn node(&self, number: u8) -> &Namespace {
        &self.nodes[usize::from(number)]
    }

    /// Its address.
    pub fn address(number: u8) -> Ipv4Addr {
        let [a, b, c] = SUBNET;
        Ipv4Addr::new(a, b, c, FIRST_HOST + number)
    }
}

/// What runs the program that follows in the network namespace that a file stands for; the program takes its place.
pub fn enter(namespace: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).arg("--");
    command
}

/// One network namespace.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot make a network namespace: {error}");
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready && exec cat > /dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut ready = [0; 5];
        if let Some(stdout) = &mut holder.stdout {
            stdout.read_exact(&mut ready).map_err(failed)?;
        }
        Ok(Self { holder })
    }

    fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid()).into()
    }

    /// Runs `ip` with these lines inside.
    fn ip(&self, lines: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot run `ip`: {error}");
        let mut child = enter(&self.path())
            .args(["ip", "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(lines.as_bytes()).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("`ip` failed: {}\n{lines}", String::from_utf8_lossy(&output.stderr)))
    }

    /// A listener inside; the thread that accepts from it may be anywhere.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener, String> {
        let failed = |error: std::io::Error| format!("cannot listen on {address} in a namespace: {error}");
        let listen = || {
            let namespace = std::fs::File::open(self.path())?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind(address)
        };
        // A thread of its own, because it moves.
        let result = std::thread::scope(|scope| scope.spawn(listen).join());
        result.map_err(|_panic| "a thread panicked".to_owned())?.map_err(failed)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The end of its standard input ends it.
        drop(self.holder.stdin.take());
        let _status = self.holder.wait();
    }
}
