//! The daemon of a test: started by whatever command needs it, ended by its process id, which it writes down itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::leftovers::{is_alive, send, wait_for};

/// How long an orderly end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The process of the daemon whose runtime directory this is, while it lives.
pub fn pid(runtime: &Path) -> Option<u32> {
    let endpoint = fs::read_to_string(runtime.join("daemon/endpoint")).ok()?;
    let number = endpoint.lines().find_map(|line| line.strip_prefix("pid = "))?;
    number.trim().parse().ok().filter(|pid| is_alive(*pid))
}

/// Ends the daemon, if there is one, and waits until it is gone.
pub fn end(runtime: &Path, signal: Signal) -> Result<(), String> {
    let Some(pid) = pid(runtime) else { return Ok(()) };
    send(pid, signal);
    wait_for(PATIENCE, || (!is_alive(pid)).then_some(()))
        .ok_or_else(|| format!("the daemon, process {pid}, is still there {PATIENCE:?} after {signal:?}"))
}
