//! Starting the daemon from a command that needs it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use rustix::fs::FlockOperation;

use crate::connection::Options;
use crate::daemon::endpoint::Endpoint;
use crate::daemon::{READY, log};
use crate::failure::Failure;
use crate::paths;

/// Lines of the daemon's log that are shown when it does not start.
const LAST_LINES: usize = 5;

/// Starts the daemon and waits until it is ready. Commands that come at the same time start one together.
pub(crate) fn start(options: &Options) -> Result<(), Failure> {
    paths::require_root()?;
    let directory = paths::daemon();
    let failed = |error: std::io::Error| {
        Failure::environment(format!("cannot use `{}`: {error}", directory.display()))
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
    let turn = File::create(directory.join("start.lock")).map_err(failed)?;
    rustix::fs::flock(&turn, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    if Endpoint::read()?.is_some_and(|endpoint| endpoint.is_alive()) {
        return Ok(());
    }
    spawn(options)
}

fn spawn(options: &Options) -> Result<(), Failure> {
    let log = log::path();
    let failed = |error: std::io::Error| Failure::environment(format!("cannot start the daemon: {error}"));
    if let Some(parent) = log.parent() {
        // The store will lie there: nobody else's business.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    }
    log::rotate(&log);
    let errors = OpenOptions::new().create(true).append(true).open(&log).map_err(failed)?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["daemon", "serve"]).current_dir("/");
    if let Some(config) = &options.config {
        let config = std::path::absolute(config).map_err(failed)?;
        command.arg("--config").arg(config);
    }
    // The pipe ends when the daemon is ready or gone: it keeps none of our own streams.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    // Nor the locks and pipes that this process was started with.
    farm_executor::close_others_on_exec().map_err(failed)?;
    let mut child = command.spawn().map_err(failed)?;
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).map_err(failed)?;
    }
    if line.trim_end() == READY {
        return Ok(());
    }
    let status = child.wait().map_err(failed)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    let said = match status.signal() {
        Some(signal) => format!("signal {signal} ended it"),
        None => log::tail(&log, LAST_LINES),
    };
    Err(Failure::of_build(code.unwrap_or(Failure::ENVIRONMENT), format!("the daemon did not start: {said}"))
        .with_hint(Some(format!("its log is `{}`", log.display()))))
}
