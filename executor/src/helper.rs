//! The re-exec'd side: the processes that become containers, each with one thread.
//!
//! ```text
//! caller ─┬─ zygote
//!         └─ init, pid 1 of a container ── command
//!
//! caller ─┬─ zygote
//!         └─ init ─┬─ an OCI runtime, for a moment
//!                  ├─ reaper, pid 1 of a container
//!                  └─ command, in the namespace of the reaper
//! ```
//!
//! The zygote is started once and forks an init when it is told to, since a fork of a small process costs a fraction of starting a program. The
//! init is the caller's child, who can wait for it, kill it, and account for it. It prepares itself and waits for its [`Spec`], sets
//! the container up, starts the command and reaps. Each dies with the caller's thread that started the zygote, and the command with the
//! init: the kernel kills what is left in a pid namespace whose init has died.

mod bundle;
mod command;
mod filesystem;
mod init;
mod process;
mod reaper;
mod runtime;
mod sources;

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use rustix::process::{PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal};

use crate::Blame;
use crate::spec::{self, CellSpec, Failure, Forked, Message, Report, Settings, Spec};
use crate::sys::{self, Parent};

/// The processes' name for themselves, by which [`init_entry`] recognises them.
pub(crate) const NAME: &str = "farm-container";

/// Turns this process into the zygote of containers if it was started as one, and then never returns. Every program
/// that runs containers calls this first in `main`, before it starts a thread.
pub fn init_entry() {
    let name = std::env::args_os().next();
    if name.is_some_and(|name| name.as_bytes() == NAME.as_bytes()) {
        // Failures are told over the socket; when that fails, the caller is gone.
        let _gone = run();
        sys::exit_now(0);
    }
}

/// What a container was asked to be.
struct Request {
    spec: Spec,
    frames: Vec<Vec<u8>>,
    fds: Vec<OwnedFd>,
}

/// What every container inherits.
struct Zygote {
    settings: Settings,
    filter: Vec<u8>,
    /// The process that all of this is for.
    caller: OwnedFd,
}

fn run() -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let socket = UnixStream::from(sys::adopt(0)?);
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    drop(null);
    let caller = pidfd_open(getppid().unwrap_or_else(getpid), PidfdFlags::empty())?;
    let mut message = spec::receive(&socket)?;
    let filter = message.frames.pop().unwrap_or_default();
    let settings: Settings = decode(&message)?;
    let joined = join(&settings.entrances);
    let zygote = Zygote { settings, filter, caller };
    loop {
        let message = spec::receive(&socket)?;
        match &joined {
            Ok(()) => zygote.fork(&socket, message)?,
            Err(failure) => answer(&socket, &Forked::Failed(failure.clone()), None)?,
        }
    }
}

impl Zygote {
    /// Makes an init; returns in the zygote only.
    fn fork(&self, socket: &UnixStream, message: Message) -> std::io::Result<()> {
        let cell: CellSpec = decode(&message)?;
        let Ok([control, stdout, stderr]) = <[OwnedFd; 3]>::try_from(message.fds) else {
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
        let namespaces = u64::try_from(namespaces).expect("flags are not negative");
        match sys::fork_with(namespaces, Parent::OfThis) {
            Ok(None) => {
                let own =
                    rustix::stdio::dup2_stdout(&stdout).and_then(|()| rustix::stdio::dup2_stderr(&stderr));
                // What is the zygote's must not stay open in a container.
                sys::close(socket);
                drop((stdout, stderr));
                let control = UnixStream::from(control);
                if let Err(error) = own {
                    report(&control, &Report::SetupFailed(internal("take over the output streams", error)));
                    sys::exit_now(1);
                }
                init::run(self, &cell, &control)
            }
            Ok(Some(child)) => answer(socket, &Forked::Init { pid: child.pid }, Some(&child.pidfd)),
            Err(error) => {
                let failure = Failure::environment("make namespaces", error);
                answer(socket, &Forked::Failed(failure), None)
            }
        }
    }
}

fn decode<T: serde::de::DeserializeOwned>(message: &Message) -> std::io::Result<T> {
    Ok(serde_json::from_slice(message.frames.first().map_or(&[][..], Vec::as_slice))?)
}

fn answer(socket: &UnixStream, forked: &Forked, pidfd: Option<&OwnedFd>) -> std::io::Result<()> {
    let fds: Vec<_> = pidfd.into_iter().map(AsFd::as_fd).collect();
    spec::send(socket, &[&serde_json::to_vec(forked)?], &fds)
}

/// Enters control groups.
fn join(entrances: &[std::path::PathBuf]) -> Result<(), Failure> {
    for entrance in entrances {
        let action = || format!("join control group `{}`", entrance.display());
        fs::write(entrance, "0").map_err(|e| Failure::environment(action(), e))?;
    }
    Ok(())
}

/// Sends a report; if the caller is gone, there is nobody to tell.
fn report(mut control: &UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _gone = control.write_all(&line);
    }
}

/// A failure that these processes themselves are to blame for.
fn internal(action: &str, error: impl Into<std::io::Error>) -> Failure {
    Failure::new(Blame::Internal, action, error)
}
