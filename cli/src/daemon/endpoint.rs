//! Where the daemon listens: a small file in the runtime directory, written last and whole.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::paths;

/// How often, and how far apart, a lock that is taken is tried again: those who only look hold it for microseconds.
const ATTEMPTS: usize = 20;
const GLANCE: Duration = Duration::from_millis(1);

/// A daemon that is ready.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Endpoint {
    /// On loopback.
    pub(crate) address: SocketAddr,
    /// Which binary it is.
    pub(crate) version: String,
    /// The fingerprint of its configuration. What an older daemon did not write is empty.
    #[serde(default)]
    pub(crate) configuration: String,
    /// Its process.
    pub(crate) pid: u32,
}

impl Endpoint {
    fn path() -> PathBuf {
        paths::daemon().join("endpoint")
    }

    /// What the last daemon wrote; none when there never was one, or it left in order.
    pub(crate) fn read() -> Result<Option<Self>, Failure> {
        let path = Self::path();
        match std::fs::read_to_string(&path) {
            // A file that is not understood was written by another version, whose daemon cannot be asked anything.
            Ok(text) => Ok(toml::from_str(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::environment(format!("cannot read `{}`: {error}", path.display()))),
        }
    }

    /// Makes this daemon known.
    pub(crate) fn write(&self) -> std::io::Result<()> {
        let path = Self::path();
        let making = path.with_extension("new");
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        std::fs::write(&making, text)?;
        std::fs::rename(making, path)
    }

    /// Takes the file away, unless another daemon wrote it.
    pub(crate) fn withdraw(pid: u32) {
        if Self::read().ok().flatten().is_some_and(|endpoint| endpoint.pid == pid) {
            // The next start finds out by itself that nobody listens.
            let _left = std::fs::remove_file(Self::path());
        }
    }

    /// Whether its process is still there: it holds the lock as long as it lives.
    pub(crate) fn is_alive(&self) -> bool {
        Lock::holder() == Some(self.pid)
    }
}

/// Held by a daemon for as long as its process lives; the kernel lets go of it whatever the end.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    fn path() -> PathBuf {
        paths::daemon().join("lock")
    }

    /// Takes the lock; none while another daemon has it.
    pub(crate) fn take() -> std::io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(Self::path())?;
        for _ in 0..ATTEMPTS {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    file.set_len(0)?;
                    file.write_all(std::process::id().to_string().as_bytes())?;
                    return Ok(Some(Self { _file: file }));
                }
                // Somebody who only looks lets go at once.
                Err(Errno::WOULDBLOCK) => std::thread::sleep(GLANCE),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The process that holds the lock.
    pub(super) fn holder() -> Option<u32> {
        let mut file = File::open(Self::path()).ok()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => {}
            Ok(()) | Err(_) => return None,
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }
}
