//! The re-exec'd side: a process with one thread that makes a container and outlives it by a moment.
//!
//! ```text
//! caller ── helper ── init, pid 1 of the container ── command
//! ```
//!
//! The helper stays outside and waits, so that somebody accounts for the container even if all of it is killed. The init sets the container
//! up, starts the command and reaps. Each dies with its parent; the kernel kills what is left in a pid namespace whose init has died.

mod filesystem;
mod init;
mod mounts;
mod overlay;
mod process;

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};

use crate::Blame;
use crate::spec::{self, Failure, NetworkSpec, Report, Spec};
use crate::sys;

/// The helper's name for itself, by which [`init_entry`] recognises it.
pub(crate) const NAME: &str = "farm-container";

/// Turns this process into the container helper if it was started as one, and then never returns. Every program
/// that runs containers calls this first in `main`, before it starts a thread.
pub fn init_entry() {
    let name = std::env::args_os().next();
    if name.is_some_and(|name| name.as_bytes() == NAME.as_bytes()) {
        let code = match run() {
            Ok(()) => 0,
            // The caller learns it from the exit code and the missing report; there is nobody else to tell.
            Err(_) => 1,
        };
        sys::exit_now(code);
    }
}

/// What was asked for.
pub(crate) struct Request {
    spec: Spec,
    filter: Vec<u8>,
    frames: Vec<Vec<u8>>,
    network: Option<OwnedFd>,
}

fn run() -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let control = UnixStream::from(sys::adopt(0)?);
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    drop(null);
    // Kept apart from the container's: its descriptors for lower directories may be many.
    let (_, most_files) = sys::limit(libc::RLIMIT_NOFILE)?;
    sys::set_limit(libc::RLIMIT_NOFILE, most_files, most_files)?;
    let request = receive(&control)?;
    let host_network = request.spec.network != NetworkSpec::None;
    let network = if host_network { 0 } else { libc::CLONE_NEWNET };
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | network;
    let namespaces = u64::try_from(namespaces).expect("flags are not negative");
    let helper = pidfd_open(getpid(), PidfdFlags::empty())?;
    match sys::fork_with(namespaces) {
        Ok(None) => init::run(&request, &control, &helper),
        Ok(Some(init)) => supervise(&init, &control),
        Err(error) => report(&control, &Report::SetupFailed(Failure::environment("make namespaces", error))),
    }
    Ok(())
}

fn receive(control: &UnixStream) -> std::io::Result<Request> {
    let (mut frames, network) = spec::receive(control)?;
    if frames.len() < 2 {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let filter = std::mem::take(&mut frames[1]);
    let spec = serde_json::from_slice(&frames[0])?;
    Ok(Request { spec, filter, frames, network })
}

/// Waits for the end of the init, which is killed when the caller says so or goes away.
fn supervise(init: &sys::Child, control: &UnixStream) {
    let mut asked = false;
    loop {
        let listen = if asked { PollFlags::empty() } else { PollFlags::IN };
        let mut fds =
            [PollFd::new(&init.pidfd, PollFlags::IN), PollFd::from_borrowed_fd(control.as_fd(), listen)];
        let woken = rustix::io::retry_on_intr(|| poll(&mut fds, None));
        let (ended, heard) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if ended || woken.is_err() {
            break;
        }
        if heard {
            if asked {
                // The caller has hung up, and its hang-up always wakes: the init is dying, wait for it alone.
                break;
            }
            asked = true;
            let _gone = pidfd_send_signal(&init.pidfd, Signal::KILL);
        }
    }
    if let Ok(waited) = sys::wait(init.pid) {
        let (status, user, system, largest_process) =
            (waited.status, waited.user, waited.system, waited.largest_process);
        report(control, &Report::ContainerEnded { status, user, system, largest_process });
    }
}

/// Sends a report; if the caller is gone, there is nobody to tell.
fn report(mut control: &UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _gone = control.write_all(&line);
    }
}

/// A failure that the helper itself is to blame for.
fn internal(action: &str, error: impl Into<std::io::Error>) -> Failure {
    Failure::new(Blame::Internal, action, error)
}
