//! A coordinator and two workers as processes of their own, and the place of a client: four stores, four networks.
//!
//! A server sees nothing of the others on disk either: over the temporary directory, where contexts and the directories of all
//! farms lie, it has an empty one with its own directory in it. So a path that a message carried by mistake leads nowhere.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use farm_model::Scope;
use farm_transport::{Authority, Identity, Role};
use rustix::process::Signal;

use super::Directories;
use super::forward::Forwarder;
use super::network::{Network, enter};
use super::server::Server;

/// Everyone's number in the network, in this order.
const NAMES: [&str; 4] = ["client", "coordinator", "worker-1", "worker-2"];
const CLIENT: u8 = 0;
const COORDINATOR: u8 = 1;
const WORKERS: [u8; 2] = [2, 3];
const PORT: u16 = 7400;

/// Hides a directory but for a part of it, then becomes the command that follows.
const HIDE: &str = r#"all=$1 own=$2; shift 2
mount --bind "$own" /mnt
mount -t tmpfs -o mode=1777 hidden "$all"
mkdir -p "$own"
mount --move /mnt "$own"
exec "$@""#;

/// What the servers of a farm need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary.
    pub binary: PathBuf,
    /// Where all four keep what is theirs, each in a directory of its own.
    pub root: PathBuf,
    /// What stands in the `farm.toml` of coordinator and workers.
    pub configuration: String,
}

/// The running farm.
#[derive(Debug)]
pub struct Processes {
    // Before the network: a server is gone when its namespace goes.
    servers: Vec<Server>,
    forwarders: Vec<Forwarder>,
    network: Network,
    settings: Settings,
}

impl Processes {
    /// Mints certificates, makes the network and starts the servers; returns when all are ready.
    pub fn start(settings: Settings) -> Result<Self, String> {
        mint(&settings.root)?;
        for own in all_directories(&settings.root) {
            fs::write(own.configuration(), &settings.configuration)
                .map_err(|error| format!("cannot write a configuration: {error}"))?;
        }
        let network = Network::of(NAMES.len().try_into().map_err(|_| "too many processes")?)?;
        let mut farm = Self { servers: Vec::new(), forwarders: Vec::new(), network, settings };
        farm.start_servers()?;
        Ok(farm)
    }

    /// Starts coordinator and workers, which do not run.
    pub fn start_servers(&mut self) -> Result<(), String> {
        let mut coordinator = self.command(COORDINATOR);
        coordinator.args(["coordinator", "--listen", &address().to_string()]);
        self.spawn(COORDINATOR, coordinator)?;
        for worker in WORKERS {
            let mut command = self.command(worker);
            command.args(["worker", "--coordinator", &address().to_string()]);
            self.spawn(worker, command)?;
        }
        for server in &mut self.servers {
            server.wait_until_it_says(" ready on ")?;
        }
        Ok(())
    }

    /// Makes a service on our loopback reachable for everyone under the same address.
    pub fn reach(&mut self, service: SocketAddr) -> Result<(), String> {
        for node in self.network.nodes() {
            self.forwarders.push(Forwarder::start(node, service)?);
        }
        Ok(())
    }

    /// What runs a program in the client's network, with the client's environment.
    pub fn client(&self, program: &Path) -> Command {
        let mut command = enter(&self.network.node(CLIENT).path());
        command.arg(program);
        let own = directories(&self.settings.root, CLIENT);
        command.envs(own.variables());
        command.env("FARM_COORDINATOR", address().to_string()).env("FARM_CERTIFICATES", own.certificates());
        command
    }

    /// The processes of coordinator and workers.
    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(Server::pid).collect()
    }

    /// Ends coordinator and workers, and waits until they are gone.
    pub fn end_servers(&mut self, signal: Signal) -> Result<(), String> {
        for server in &self.servers {
            server.signal(signal);
        }
        let problems: Vec<_> = self.servers.iter_mut().filter_map(|server| server.wait().err()).collect();
        self.servers.clear();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// What the servers said, for a test that failed.
    pub fn logs(&self) -> String {
        let text = |server: &Server| format!("--- process {}:\n{}", server.pid(), server.text());
        self.servers.iter().map(text).collect()
    }

    fn command(&self, number: u8) -> Command {
        let own = directories(&self.settings.root, number);
        let mut command = enter(&self.network.node(number).path());
        command.args(["unshare", "--mount", "--propagation", "private", "--", "sh", "-euc", HIDE, "hide"]);
        command.arg(std::env::temp_dir()).arg(own.root());
        // A server dies with the thread that started it, should a test be killed.
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(&self.settings.binary);
        command.current_dir("/").envs(own.variables()).env("FARM_CERTIFICATES", own.certificates());
        command.env("FARM_CONFIG", own.configuration());
        command
    }

    fn spawn(&mut self, number: u8, command: Command) -> Result<(), String> {
        let log = directories(&self.settings.root, number).log();
        self.servers.push(Server::spawn(NAMES[usize::from(number)], command, &log)?);
        Ok(())
    }
}

/// The directories of all four.
pub fn all_directories(root: &Path) -> Vec<Directories> {
    NAMES.iter().map(|name| Directories::of(root, name)).collect()
}

fn directories(root: &Path, number: u8) -> Directories {
    Directories::of(root, NAMES[usize::from(number)])
}

fn address() -> SocketAddr {
    (Network::address(COORDINATOR), PORT).into()
}

fn mint(root: &Path) -> Result<(), String> {
    let failed = |error: farm_transport::Error| format!("cannot make certificates: {error}");
    let authority = Authority::new().map_err(failed)?;
    for (name, role) in NAMES.iter().zip([Role::Client, Role::Coordinator, Role::Worker, Role::Worker]) {
        let identity = Identity { role, name: (*name).to_owned(), scope: Scope::main() };
        let credentials = authority.issue(&identity).map_err(failed)?;
        credentials.save(&Directories::of(root, name).certificates()).map_err(failed)?;
    }
    Ok(())
}
