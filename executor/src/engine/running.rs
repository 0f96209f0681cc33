//! A container at work: what it is told, what it writes, and its end.
//!
//! Output is read in pieces and handed on at once, so memory is bounded, and a slow receiver slows the command down.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::zygote::Cell;
use crate::cgroup::Group;
use crate::executor::Output;
use crate::spec::{self, Report};
use crate::{Blame, CancelFlag, Error, Stream, sys};

/// What is known when a container has ended.
pub(super) struct Ended {
    pub(super) reports: Vec<Report>,
    pub(super) killed: Option<Killed>,
    pub(super) waited: sys::Waited,
}

/// A container at work.
pub(super) struct Running {
    cell: Cell,
}

/// Why a container is being killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Killed {
    Cancelled,
    TimedOut,
}

impl Running {
    /// Tells a cell what it is for. If it has died meanwhile, its wait status will say more than the failed write.
    pub(super) fn start(cell: Cell, frames: &[&[u8]], fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        if spec::send(&cell.control, frames, fds).is_err() {
            let _closed = cell.control.shutdown(std::net::Shutdown::Write);
        }
        cell.control.set_nonblocking(true)?;
        Ok(Self { cell })
    }

    /// Relays output until every process of the container is gone; gives its groups back.
    pub(super) fn watch(
        mut self,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<(Ended, Group), Error> {
        let mut reports = Vec::new();
        let mut buffer = vec![0; BUFFER];
        let mut killed = None;
        let mut open = [true, true];
        loop {
            let alive = killed.is_none();
            let woken = self
                .wait(open, alive.then_some(cancel), deadline.filter(|_| alive))
                .map_err(|e| Error::setup("wait for the container", Blame::Internal, e))?;
            if woken.cancelled || woken.late {
                killed = Some(if woken.cancelled { Killed::Cancelled } else { Killed::TimedOut });
                self.cell.init.kill();
            }
            for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
                if woken.output[index] {
                    open[index] = relay(self.pipe(stream), stream, &mut buffer, output);
                }
            }
            if woken.reports && !receive_reports(&mut self.cell.control, &mut buffer, &mut reports) {
                break;
            }
        }
        let waited = self.cell.init.wait();
        let waited = waited.map_err(|e| Error::setup("wait for the container", Blame::Internal, e))?;
        // All writers are gone, or have passed the pipe on to somebody outside, for whom nobody waits.
        for stream in [Stream::Stdout, Stream::Stderr] {
            while relay(self.pipe(stream), stream, &mut buffer, output) && has_input(self.pipe(stream)) {}
        }
        Ok((Ended { reports: parse_reports(&reports), killed, waited }, self.cell.group))
    }

    fn pipe(&self, stream: Stream) -> BorrowedFd<'_> {
        match stream {
            Stream::Stdout => self.cell.stdout.as_fd(),
            Stream::Stderr => self.cell.stderr.as_fd(),
        }
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
            |index: usize, stream| if open[index] { self.pipe(stream) } else { self.cell.control.as_fd() };
        let cancel_fd = cancel.map_or(self.cell.control.as_fd(), AsFd::as_fd);
        let mut fds = [
            PollFd::from_borrowed_fd(self.cell.control.as_fd(), PollFlags::IN),
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

/// How much output is passed on at once.
const BUFFER: usize = 64 << 10;
/// Reports are few and short; whatever goes on beyond this is not one.
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
