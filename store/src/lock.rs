//! One process a store: an exclusive lock on a file that names its holder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::Error;
use crate::error::Context;

const POLL: Duration = Duration::from_millis(50);

/// Held until dropped; the kernel lets go of it when the process dies.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the store at `root`, waiting for `patience`; `on_wait` hears once who holds it.
    pub(crate) fn acquire(
        root: &Path,
        patience: Duration,
        on_wait: &mut dyn FnMut(Option<u32>),
    ) -> Result<Self, Error> {
        let path = root.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .while_doing("open", &path)?;
        let start = Instant::now();
        let mut told = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).while_doing("lock", &path),
            }
            let pid = holder(&path);
            if start.elapsed() >= patience {
                return Err(Error::InUse { root: root.to_owned(), pid });
            }
            if !told {
                told = true;
                on_wait(pid);
            }
            thread::sleep(POLL.min(patience));
        }
        file.set_len(0).while_doing("truncate", &path)?;
        writeln!(file, "{}", std::process::id()).while_doing("write", &path)?;
        Ok(Self { _file: file })
    }
}

fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
