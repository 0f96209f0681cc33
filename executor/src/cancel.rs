//! A flag that one thread raises and a waiting one notices at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// Asks a running container to stop. Clones share one flag; once raised it stays raised.
#[derive(Clone, Debug)]
pub struct CancelFlag {
    event: Arc<OwnedFd>,
}

impl CancelFlag {
    /// A flag that is not raised. Fails when the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Raises the flag: containers that run with it are killed, and those still to start are not started.
    pub fn cancel(&self) {
        // The counter can only be full when it was raised before, which is all that matters.
        let _full = rustix::io::write(&*self.event, &1_u64.to_ne_bytes());
    }

    /// Whether the flag is raised.
    pub fn is_cancelled(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut event = [PollFd::new(&*self.event, PollFlags::IN)];
        matches!(poll(&mut event, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }
}

impl AsFd for CancelFlag {
    /// Readable for as long as the flag is raised; must not be read from.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_is_seen_by_every_clone_and_stays_raised() {
        let flag = CancelFlag::new().unwrap();
        let clone = flag.clone();
        assert!(!clone.is_cancelled());
        flag.cancel();
        flag.cancel();
        assert!(clone.is_cancelled() && clone.is_cancelled());
    }
}
