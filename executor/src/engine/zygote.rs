//! The caller's side of the zygote: starts it, and has it fork the processes that become containers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::cgroup::Group;
use crate::spec::{self, CellSpec, Forked, Isolation, Settings};
use crate::{Blame, Error, helper, seccomp, sys};

/// A live zygote. It dies with the thread that started it; dropping it ends it.
pub(super) struct Zygote {
    child: Child,
    socket: UnixStream,
}

/// The init of a container that waits to be told what it is for. Dropping it kills it, with all that it has started, and waits for that.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) control: UnixStream,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) init: Init,
    /// Removed when the init is gone.
    pub(super) group: Group,
}

/// A child of this process.
#[derive(Debug)]
pub(super) struct Init {
    pid: i32,
    pub(super) pidfd: OwnedFd,
    life: Life,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    Unknown,
    Over,
}

impl Zygote {
    /// Starts one, as the same program as this.
    pub(super) fn start(settings: &Settings) -> Result<Self, Error> {
        let failed = |e: io::Error| Error::environment("start the zygote of containers", e);
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        let child = Command::new("/proc/self/exe")
            .arg0(helper::NAME)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        // From here on dropping it ends the child. The filter may still be compiled while the program starts.
        let zygote = Self { child, socket };
        let filter = match settings.isolation {
            Isolation::Native => seccomp::filter()
                .map_err(|e| Error::setup("compile the seccomp filter", Blame::Internal, e))?,
            // A runtime gets the rules in writing.
            Isolation::Oci { .. } => &[],
        };
        let settings = serde_json::to_vec(settings).map_err(|e| failed(e.into()))?;
        spec::send(&zygote.socket, &[&settings, filter], &[]).map_err(failed)?;
        Ok(zygote)
    }

    /// Makes a cell in `group`.
    pub(super) fn fork(&self, group: Group) -> Result<Cell, Error> {
        let failed = |e: io::Error| Error::environment("make the first process of a container", e);
        let cell =
            CellSpec { entrances: group.entrances(), view: group.view(), groups: group.path().to_owned() };
        let cell = serde_json::to_vec(&cell).map_err(|e| failed(e.into()))?;
        let (control, control_inside) = UnixStream::pair().map_err(failed)?;
        let (stdout, stdout_inside) = pipe().map_err(failed)?;
        let (stderr, stderr_inside) = pipe().map_err(failed)?;
        let inside = [control_inside.as_fd(), stdout_inside.as_fd(), stderr_inside.as_fd()];
        spec::send(&self.socket, &[&cell], &inside).map_err(failed)?;
        let mut answer = spec::receive(&self.socket).map_err(failed)?;
        let forked = answer.frames.first().and_then(|frame| serde_json::from_slice(frame).ok());
        match (forked, answer.fds.pop()) {
            (Some(Forked::Init { pid }), Some(pidfd)) => {
                let init = Init { pid, pidfd, life: Life::Unknown };
                Ok(Cell { control, stdout, stderr, init, group })
            }
            (Some(Forked::Failed(failure)), _) => Err(failure.into()),
            (Some(Forked::Init { .. }) | None, _) => Err(failed(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Init {
    /// Kills it, and so everything in its pid namespace.
    pub(super) fn kill(&self) {
        let _gone = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
    }

    /// Waits for its end, which is the end of everything in its pid namespace.
    pub(super) fn wait(&mut self) -> io::Result<sys::Waited> {
        let waited = sys::wait(self.pid)?;
        self.life = Life::Over;
        Ok(waited)
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another's.
        if self.life == Life::Unknown {
            self.kill();
            let _gone = self.wait();
        }
    }
}

/// A pipe of which this process reads, without waiting.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}
