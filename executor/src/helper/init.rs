//! Pid 1 of a container: sets it up from inside its namespaces, starts the command, reaps, and ends when the command ends.
//!
//! It blocks all signals and is not dumpable, so that nothing inside can disturb it or look into it: `/proc/1/exe` is the host's file.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, move_into_link_name_space};

use super::{Request, filesystem, internal, process, report};
use crate::spec::{Failure, NetworkSpec, Report};
use crate::sys;

/// Runs the container to its end.
pub(super) fn run(request: &Request, control: &UnixStream, helper: &OwnedFd) -> ! {
    if let Err(failure) = bind_to(helper).and_then(|()| set_up(request)) {
        report(control, &Report::SetupFailed(failure));
        sys::exit_now(1);
    }
    match sys::fork_with(0) {
        Ok(None) => process::run(request, control),
        Ok(Some(command)) => reap(&command, control),
        Err(error) => report(control, &Report::SetupFailed(Failure::environment("start a process", error))),
    }
    sys::exit_now(1);
}

/// Makes this process die with the helper.
fn bind_to(helper: &OwnedFd) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| internal("bind to the helper", e))?;
    // It may have died before; from inside a pid namespace the parent's id does not tell.
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut [PollFd::new(helper, PollFlags::IN)], Some(&now)) != Ok(0) {
        sys::exit_now(1);
    }
    Ok(())
}

fn set_up(request: &Request) -> Result<(), Failure> {
    let spec = &request.spec;
    sys::block_signals();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| internal("close itself off", e))?;
    rustix::process::setsid().map_err(|e| internal("start a session", e))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    for entrance in &spec.cgroup_entrances {
        let action = || format!("join control group `{}`", entrance.display());
        fs::write(entrance, "0").map_err(|e| Failure::environment(action(), e))?;
    }
    sys::unshare(libc::CLONE_NEWCGROUP).map_err(|e| Failure::environment("make a cgroup namespace", e))?;
    match (spec.network, &request.network) {
        (NetworkSpec::Given, Some(namespace)) => {
            move_into_link_name_space(std::os::fd::AsFd::as_fd(namespace), Some(LinkNameSpaceType::Network))
                .map_err(|e| Failure::environment("enter the network namespace", e))?;
        }
        (NetworkSpec::Given, None) => {
            return Err(internal("enter the network namespace", std::io::ErrorKind::NotFound));
        }
        (NetworkSpec::None, _) => {
            sys::loopback_up().map_err(|e| Failure::environment("bring up the loopback interface", e))?;
        }
        (NetworkSpec::Host, _) => {}
    }
    rustix::system::sethostname(spec.hostname.as_bytes())
        .map_err(|e| Failure::new(crate::Blame::User, format!("set host name `{}`", spec.hostname), e))?;
    // The worker's own score may protect it from the out-of-memory killer; a step has no claim to that.
    let _not_permitted = fs::write("/proc/self/oom_score_adj", "0");
    filesystem::set_up(request)
}

/// Reaps until the command has ended, and reports how. When this process ends, the kernel kills all that is left.
fn reap(command: &sys::Child, control: &UnixStream) {
    let none = CapabilitySet::empty();
    let _kept = rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    );
    while let Ok(waited) = sys::wait(-1) {
        if waited.pid == command.pid {
            report(control, &Report::CommandEnded { status: waited.status });
            sys::exit_now(0);
        }
    }
}
