//! From a container's reports to an outcome.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use super::running::{Ended, Killed};
use crate::cgroup::Group;
use crate::executor::Output;
use crate::spec::Report;
use crate::{Error, Exit, Outcome, Stream, Usage};

impl Ended {
    pub(super) fn outcome(
        self,
        group: &Group,
        started: Instant,
        output: &mut Output<'_>,
    ) -> Result<Outcome, Error> {
        let mut exit = None;
        let mut has_started = false;
        for report in self.reports {
            match report {
                Report::SetupFailed(failure) if self.killed.is_none() => return Err(failure.into()),
                Report::RuntimeFailed { runtime, problem } if self.killed.is_none() => {
                    return Err(Error::Runtime { runtime, problem });
                }
                Report::SetupFailed(_) | Report::RuntimeFailed { .. } => {}
                Report::Started => has_started = true,
                Report::ExecFailed { program, errno } => exit = Some(explain(&program, errno, output)),
                Report::CommandEnded { status } => {
                    exit.get_or_insert_with(|| exit_of(status));
                }
            }
        }
        // The init reports before it ends, unless somebody killed it.
        let exit = exit.or(has_started.then(|| exit_of(self.waited.status)));
        let usage = Usage {
            user: self.waited.user,
            system: self.waited.system,
            peak_memory: group.peak_memory().unwrap_or(self.waited.largest_process),
            wall: started.elapsed(),
        };
        let exit = match (self.killed, exit) {
            (Some(Killed::Cancelled), _) => Exit::Cancelled,
            (Some(Killed::TimedOut), _) => Exit::TimedOut,
            (None, Some(exit)) if !exit.is_success() && group.was_out_of_memory() => Exit::OutOfMemory,
            (None, Some(exit)) => exit,
            (None, None) if group.was_out_of_memory() => Exit::OutOfMemory,
            (None, None) => {
                let status = std::process::ExitStatus::from_raw(self.waited.status);
                return Err(Error::HelperDied { how: status.to_string() });
            }
        };
        Ok(Outcome { exit, usage })
    }
}

fn exit_of(status: i32) -> Exit {
    let status = std::process::ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Says why a program was not executed, in a shell's words and with a shell's exit code.
fn explain(program: &str, errno: i32, output: &mut Output<'_>) -> Exit {
    let (code, why) = match errno {
        libc::ENOENT if program.contains('/') => {
            (127, "no such file or directory, or its interpreter is missing".to_owned())
        }
        libc::ENOENT => (127, "command not found".to_owned()),
        libc::EACCES => (126, "permission denied".to_owned()),
        libc::ENOEXEC => (126, "exec format error: not a program for this machine".to_owned()),
        errno => (126, io::Error::from_raw_os_error(errno).to_string()),
    };
    output(Stream::Stderr, format!("{program}: {why}\n").as_bytes());
    Exit::Code(code)
}
