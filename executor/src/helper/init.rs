//! Pid 1 of a container: prepares itself, waits until somebody needs it, sets the container up, starts the command, reaps, and ends when
//! the command ends.
//!
//! It blocks all signals and is not dumpable, so that nothing inside can disturb it or look into it: `/proc/1/exe` is the host's file.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, move_into_link_name_space};

use super::runtime::Starter;
use super::{Request, Zygote, bundle, decode, filesystem, internal, join, process, reaper, report, runtime};
use crate::spec::{self, CellSpec, Failure, Isolation, Report};
use crate::sys::{self, Parent};

/// Runs the container to its end.
pub(super) fn run(zygote: &Zygote, cell: &CellSpec, control: &UnixStream) -> ! {
    match start(zygote, cell, control) {
        Ok(Some(started)) => reap(&started, control),
        Ok(None) => sys::exit_now(0),
        Err(failed) => report(control, &failed),
    }
    sys::exit_now(1);
}

/// The command's process, and what lets it run where that is another one's to do.
struct Started {
    command: i32,
    starter: Option<Starter>,
}

/// Sets up the container and starts the command; none when nobody asks for one.
fn start(zygote: &Zygote, cell: &CellSpec, control: &UnixStream) -> Result<Option<Started>, Report> {
    let ground = prepare(zygote, cell)?;
    // Until then, nobody has asked for anything.
    let Some(request) = receive(control) else { return Ok(None) };
    finish(&request)?;
    let settings = &zygote.settings;
    match ground {
        Ground::Native => {
            filesystem::finish(settings, cell.view, &request)?;
            report(control, &Report::Started);
            match sys::fork_with(0, Parent::This) {
                Ok(None) => process::run(&request, &zygote.filter, control),
                Ok(Some(child)) => Ok(Some(Started { command: child.pid, starter: None })),
                Err(error) => Err(Failure::environment("start a process", error).into()),
            }
        }
        Ground::Oci { runtime, reaper } => {
            let bundle = bundle::assemble(settings, cell, reaper, &request)?;
            let created = runtime::create(runtime, bundle, cell, &request, control)?;
            report(control, &Report::Started);
            let command = created.command;
            Ok(Some(Started { command, starter: Some(created.start(control)?) }))
        }
    }
}

/// What is asked of this container; none when the caller lets go of it.
fn receive(control: &UnixStream) -> Option<Request> {
    let message = spec::receive(control).ok()?;
    let spec = decode(&message).ok()?;
    Some(Request { spec, frames: message.frames, fds: message.fds })
}

/// What a container is put together on.
enum Ground<'a> {
    Native,
    Oci { runtime: &'a Path, reaper: i32 },
}

/// All that can be done before it is known what for.
fn prepare<'a>(zygote: &'a Zygote, cell: &CellSpec) -> Result<Ground<'a>, Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| internal("bind to the caller", e))?;
    // It may have died before; from inside a pid namespace the parent's id does not tell.
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&zygote.caller, PollFlags::IN)], Some(&now)) != Ok(0) {
        sys::exit_now(1);
    }
    sys::close(&zygote.caller);
    sys::block_signals();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| internal("close itself off", e))?;
    rustix::process::setsid().map_err(|e| internal("start a session", e))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    // The worker's own score may protect it from the out-of-memory killer; a step has no claim to that.
    let _not_permitted = fs::write("/proc/self/oom_score_adj", "0");
    join(&cell.entrances)?;
    match &zygote.settings.isolation {
        Isolation::Native => {
            see_own_groups()?;
            filesystem::prepare(&zygote.settings)?;
            Ok(Ground::Native)
        }
        Isolation::Oci { runtime, hierarchies } => {
            bundle::prepare(&zygote.settings, hierarchies)?;
            Ok(Ground::Oci { runtime, reaper: reaper::start()? })
        }
    }
}

/// Makes the groups that this process is in the root of what it sees of them.
fn see_own_groups() -> Result<(), Failure> {
    sys::unshare(libc::CLONE_NEWCGROUP).map_err(|e| Failure::environment("make a cgroup namespace", e))
}

/// Makes this process, from which the command's inherits it, what was asked for.
fn finish(request: &Request) -> Result<(), Failure> {
    let spec = &request.spec;
    for entrance in &spec.entrances {
        rustix::io::write(request.fd(*entrance)?, b"0")
            .map_err(|e| Failure::environment("join a control group", e))?;
    }
    if !spec.entrances.is_empty() {
        see_own_groups()?;
    }
    if let Some(network) = spec.network {
        move_into_link_name_space(request.fd(network)?, Some(LinkNameSpaceType::Network))
            .map_err(|e| Failure::environment("enter the network namespace", e))?;
    }
    rustix::system::sethostname(spec.hostname.as_bytes())
        .map_err(|e| Failure::new(crate::Blame::User, format!("set host name `{}`", spec.hostname), e))
}

impl Request {
    /// A descriptor that came with the request.
    pub(super) fn fd(&self, place: spec::Fd) -> Result<std::os::fd::BorrowedFd<'_>, Failure> {
        let fd = self.fds.get(place).map(AsFd::as_fd);
        fd.ok_or_else(|| internal("find a descriptor", std::io::ErrorKind::NotFound))
    }
}

/// Reaps until the command has ended, and reports how. When this process ends, the kernel kills all that is left.
fn reap(started: &Started, control: &UnixStream) {
    give_up_capabilities();
    while let Ok(waited) = sys::wait(-1) {
        if waited.pid == started.command {
            report(control, &Report::CommandEnded { status: waited.status });
            sys::exit_now(0);
        }
        if let Some(failure) = started.starter.as_ref().and_then(|starter| starter.failure(&waited)) {
            report(control, &failure);
            return;
        }
    }
}

/// Nothing that this process still has to do takes any.
pub(super) fn give_up_capabilities() {
    let none = CapabilitySet::empty();
    let _kept = rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    );
}
