//! A helper at work: its start, what it writes, and its end.
//!
//! Output is read in pieces and handed on at once, so memory is bounded, and a slow receiver slows the command down.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::executor::Output;
use crate::spec::{self, Report};
use crate::{Blame, CancelFlag, Error, Stream, helper};

/// What is known when the helper has ended.
pub(super) struct Ended {
    pub(super) reports: Vec<Report>,
    pub(super) killed: Option<Killed>,
    pub(super) status: ExitStatus,
}

/// A helper at work.
pub(super) struct Running {
    child: std::process::Child,
    control: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Why a container is being killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Killed {
    Cancelled,
    TimedOut,
}

/// How long the helper may take to end after it was asked to kill the container.
const GRACE: Duration = Duration::from_secs(5);

impl Running {
    pub(super) fn spawn() -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let mut child = Command::new("/proc/self/exe")
            .arg0(helper::NAME)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let taken = "the stream was asked to be a pipe";
        let stdout = OwnedFd::from(child.stdout.take().expect(taken));
        let stderr = OwnedFd::from(child.stderr.take().expect(taken));
        for pipe in [&stdout, &stderr] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        control.set_nonblocking(true)?;
        Ok(Self { child, control, stdout, stderr })
    }

    /// Sends the request. If the helper has died meanwhile, its wait status will say more than the failed write.
    pub(super) fn send(&self, frames: &[&[u8]], network: Option<BorrowedFd<'_>>) {
        if spec::send(&self.control, frames, network).is_err() {
            let _closed = self.control.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Relays output until the helper has ended.
    pub(super) fn watch(
        mut self,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Ended, Error> {
        let mut reports = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let mut killed = None;
        let mut deadline = deadline;
        let mut open = [true, true];
        loop {
            let woken = self
                .wait(open, killed.is_none().then_some(cancel), deadline)
                .map_err(|e| Error::setup("wait for the container", Blame::Internal, e))?;
            if killed.is_none() && (woken.cancelled || woken.late) {
                killed = Some(if woken.cancelled { Killed::Cancelled } else { Killed::TimedOut });
                self.ask_to_kill();
                deadline = Some(Instant::now() + GRACE);
            } else if woken.late {
                // The helper hangs; its container dies with it.
                let _gone = self.child.kill();
                deadline = None;
            }
            for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
                if woken.output[index] {
                    open[index] = relay(self.pipe(stream), stream, &mut buffer, output);
                }
            }
            if woken.reports && !receive_reports(&mut self.control, &mut buffer, &mut reports) {
                break;
            }
        }
        let status =
            self.child.wait().map_err(|e| Error::setup("wait for the helper", Blame::Internal, e))?;
        // All writers are gone, or have passed the pipe on to somebody outside, for whom nobody waits.
        for stream in [Stream::Stdout, Stream::Stderr] {
            while relay(self.pipe(stream), stream, &mut buffer, output) && has_input(self.pipe(stream)) {}
        }
        Ok(Ended { reports: parse_reports(&reports), killed, status })
    }

    fn pipe(&self, stream: Stream) -> BorrowedFd<'_> {
        match stream {
            Stream::Stdout => self.stdout.as_fd(),
            Stream::Stderr => self.stderr.as_fd(),
        }
    }

    fn ask_to_kill(&self) {
        // If the helper is gone, so is the container.
        let _gone = rustix::net::send(&self.control, &[spec::KILL], rustix::net::SendFlags::NOSIGNAL);
    }

    fn wait(
        &self,
        open: [bool; 2],
        cancel: Option<&CancelFlag>,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        let interest = |wanted| if wanted { PollFlags::IN } else { PollFlags::empty() };
        // Descriptors that are closed at the other end always wake, so they are left out by watching the control socket twice.
        let source =
            |index: usize, stream| if open[index] { self.pipe(stream) } else { self.control.as_fd() };
        let cancel_fd = cancel.map_or(self.control.as_fd(), AsFd::as_fd);
        let mut fds = [
            PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(source(0, Stream::Stdout), interest(open[0])),
            PollFd::from_borrowed_fd(source(1, Stream::Stderr), interest(open[1])),
            PollFd::from_borrowed_fd(cancel_fd, interest(cancel.is_some())),
        ];
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
        let ready = |index: usize| !fds[index].revents().is_empty();
        Ok(Woken {
            reports: ready(0),
            output: [open[0] && ready(1), open[1] && ready(2)],
            cancelled: cancel.is_some() && ready(3),
            late: left.is_some() && deadline.is_some_and(|deadline| Instant::now() >= deadline),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Reached with a live child only when watching failed.
        if let Ok(None) = self.child.try_wait() {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

struct Woken {
    reports: bool,
    output: [bool; 2],
    cancelled: bool,
    late: bool,
}

/// Passes on one piece; false at the end of file.
fn relay(pipe: BorrowedFd<'_>, stream: Stream, buffer: &mut [u8], output: &mut Output<'_>) -> bool {
    match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut *buffer)) {
        Ok(0) => false,
        Ok(count) => {
            output(stream, &buffer[..count]);
            true
        }
        Err(error) => error == rustix::io::Errno::AGAIN,
    }
}

fn has_input(pipe: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now))), Ok(1..))
}

/// The helper's reports are few and short; whatever goes on beyond this is not one.
const MAX_REPORTS: usize = 1 << 20;

/// Appends what has arrived; false at the end of file.
fn receive_reports(control: &mut UnixStream, buffer: &mut [u8], reports: &mut Vec<u8>) -> bool {
    loop {
        match control.read(buffer) {
            Ok(0) => return false,
            Ok(count) if reports.len() + count <= MAX_REPORTS => reports.extend(&buffer[..count]),
            Ok(_) => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

fn parse_reports(bytes: &[u8]) -> Vec<Report> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
