//! Where the processes of a farm under test run: the one part of the tests that knows.
//!
//! | `FARM_TOPOLOGY` | processes |
//! |---|---|
//! | `daemon` (default) | the client, which starts a daemon by itself |
//! | `processes` | client, coordinator and two workers: four processes, each with its own state and its own network, the servers without sight of the context |
//!
//! Every farm has directories of its own, so farms run in parallel. Whoever drops one waits until all of its processes are
//! gone, and learns of anything that was left behind: see [`leftovers`].

pub mod daemon;
pub mod forward;
pub mod leftovers;
pub mod network;
pub mod processes;
pub mod server;

use std::env;
use std::path::{Path, PathBuf};

/// Which processes make up a farm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Topology {
    /// A client and the daemon that it starts.
    Daemon,
    /// A client, a coordinator and two workers.
    Processes,
}

impl Topology {
    /// The one that `FARM_TOPOLOGY` asks for.
    pub fn chosen() -> Self {
        match env::var("FARM_TOPOLOGY").as_deref() {
            Err(_) | Ok("" | "daemon") => Self::Daemon,
            Ok("processes") => Self::Processes,
            Ok(other) => panic!("FARM_TOPOLOGY is `{other}`; there are `daemon` and `processes`"),
        }
    }
}

/// What one process keeps on disk.
#[derive(Clone, Debug)]
pub struct Directories {
    root: PathBuf,
}

impl Directories {
    /// Those of the process called `name`, below the farm's own directory.
    pub fn of(farm: &Path, name: &str) -> Self {
        Self { root: farm.join(name) }
    }

    /// What outlives a reboot.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// What lives as long as a process.
    pub fn runtime(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The process's certificates.
    pub fn certificates(&self) -> PathBuf {
        self.root.join("certificates")
    }

    /// Where all of it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration of a server.
    pub fn configuration(&self) -> PathBuf {
        self.root.join("farm.toml")
    }

    /// Where a server's standard streams go.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The variables that say so.
    pub fn variables(&self) -> [(&'static str, PathBuf); 2] {
        [("FARM_STATE_DIR", self.state()), ("FARM_RUNTIME_DIR", self.runtime())]
    }
}
