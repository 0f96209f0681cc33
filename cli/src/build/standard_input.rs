//! Standard input that can be given up: a read of it may wait for ever, and a temporary directory must not outlive Ctrl-C.

use std::io::{self, Read};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::interrupt::StopFlag;

/// How often a waiting read looks at its flag.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Reads standard input without a buffer until the flag is set, and fails from then on.
pub(super) struct StandardInput {
    stop: StopFlag,
}

impl StandardInput {
    pub(super) fn new(stop: StopFlag) -> Self {
        Self { stop }
    }
}

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = rustix::stdio::stdin();
        loop {
            self.stop.check()?;
            let mut waited = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut waited, Some(&GLANCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(stdin, buffer)?),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
