//! The log of a flight: written once by whoever listens to its worker, read by every step that takes part, each from the
//! start and at its own pace.
//!
//! The first bytes stay in memory; what comes later lies in a file without a name. A log that outgrows its limit is cut, so
//! a step that writes without end fills no disk. Nobody who writes waits for a reader.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farm_model::event::Stream;
use farm_model::{BuildId, WorkerId};
use rustix::fs::OFlags;
use tokio::sync::watch;

use crate::build::blocking;

/// Bytes of a log that stay in memory.
const IN_MEMORY: u64 = 1 << 20;
/// Bytes of a log that are kept at all.
const LIMIT: u64 = 256 << 20;
/// What an entry counts at least, so that many small ones are bounded too.
const LEAST: u64 = 256;

/// One thing that happened in a flight.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// No worker has room.
    Queued,
    /// What follows is in the log of an equal step, from its start.
    Follow {
        build: BuildId,
        log: Arc<Log>,
    },
    /// What follows is in a log that was begun before anybody wanted it.
    GoOn {
        log: Arc<Log>,
    },
    /// How long it usually takes, in microseconds.
    Expected {
        micros: u64,
    },
    Fetched {
        bytes: u64,
        micros: u64,
    },
    Started {
        worker: WorkerId,
    },
    Logged {
        stream: Stream,
        bytes: Vec<u8>,
    },
    Warned {
        message: String,
    },
    Retried {
        reason: String,
    },
}

/// The log of one flight.
#[derive(Debug)]
pub(crate) struct Log {
    root: PathBuf,
    kept: Mutex<Kept>,
    length: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Place>,
    counted: u64,
    file: Option<Arc<File>>,
    /// Bytes of the file that are taken.
    written: u64,
    cut: bool,
}

/// Where an entry is.
#[derive(Clone, Debug)]
enum Place {
    Memory(Entry),
    File { stream: Stream, file: Arc<File>, at: u64, length: usize },
}

/// What becomes of a piece of output.
enum Room {
    Memory,
    File { file: Option<Arc<File>>, at: u64 },
    Full { first: bool },
}

impl Log {
    /// An empty log; what does not fit into memory goes to the file system of `root`.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, kept: Mutex::default(), length: watch::Sender::new(0) }
    }

    /// Adds what is small.
    pub(crate) fn push(&self, entry: Entry) {
        let mut kept = self.kept();
        self.add(&mut kept, Place::Memory(entry));
    }

    /// Adds a warning, unless the log is full.
    pub(crate) fn warned(&self, message: String) {
        let mut kept = self.kept();
        kept.counted = kept.counted.saturating_add((message.len() as u64).max(LEAST));
        if kept.counted <= LIMIT {
            self.add(&mut kept, Place::Memory(Entry::Warned { message }));
        }
    }

    /// Adds output.
    pub(crate) async fn logged(&self, stream: Stream, bytes: Vec<u8>) {
        match self.room(bytes.len() as u64) {
            Room::Memory => self.push(Entry::Logged { stream, bytes }),
            Room::File { file, at } => self.spill(stream, bytes, file, at).await,
            Room::Full { first: true } => {
                let message =
                    format!("the log is longer than {} MiB; the rest of it is not kept", LIMIT >> 20);
                self.push(Entry::Warned { message });
            }
            Room::Full { first: false } => {}
        }
    }

    fn room(&self, length: u64) -> Room {
        let mut kept = self.kept();
        let counted = kept.counted.saturating_add(length.max(LEAST));
        if counted > LIMIT {
            return Room::Full { first: !std::mem::replace(&mut kept.cut, true) };
        }
        kept.counted = counted;
        if counted <= IN_MEMORY {
            return Room::Memory;
        }
        let at = kept.written;
        kept.written += length;
        Room::File { file: kept.file.clone(), at }
    }

    async fn spill(&self, stream: Stream, bytes: Vec<u8>, file: Option<Arc<File>>, at: u64) {
        let (root, length) = (self.root.clone(), bytes.len());
        let written = blocking(move || {
            let failed =
                |source: std::io::Error| crate::Error::State { path: root.clone(), source: Arc::new(source) };
            let file = match file {
                Some(file) => file,
                None => Arc::new(nameless(&root).map_err(failed)?),
            };
            file.write_all_at(&bytes, at).map_err(failed)?;
            Ok(file)
        });
        match written.await {
            Ok(file) => {
                let mut kept = self.kept();
                kept.file = Some(Arc::clone(&file));
                self.add(&mut kept, Place::File { stream, file, at, length });
            }
            Err(error) => {
                if !std::mem::replace(&mut self.kept().cut, true) {
                    self.push(Entry::Warned { message: format!("a part of the log is lost: {error}") });
                }
            }
        }
    }

    fn add(&self, kept: &mut Kept, place: Place) {
        kept.entries.push(place);
        self.length.send_replace(kept.entries.len());
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is gone with its last handle.
fn nameless(root: &std::path::Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlags::TMPFILE.bits().cast_signed()).open(root)
}

/// Reads a log from its start, and goes on in the one that it says to follow.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Arc<Log>,
    next: usize,
    length: watch::Receiver<usize>,
}

impl Reader {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        let length = log.length.subscribe();
        Self { log, next: 0, length }
    }

    /// The next entry, once there is one.
    pub(crate) async fn next(&mut self) -> Entry {
        loop {
            if let Some(place) = self.peek() {
                // Nothing is lost when the future is dropped before it has read.
                let entry = read(place).await;
                self.step_over(&entry);
                return entry;
            }
            let next = self.next;
            // The sender lives as long as the log, which lives as long as this.
            let _alive = self.length.wait_for(|length| *length > next).await;
        }
    }

    /// The next entry, if there is one already.
    pub(crate) async fn try_next(&mut self) -> Option<Entry> {
        let entry = read(self.peek()?).await;
        self.step_over(&entry);
        Some(entry)
    }

    fn peek(&self) -> Option<Place> {
        self.log.kept().entries.get(self.next).cloned()
    }

    fn step_over(&mut self, entry: &Entry) {
        if let Entry::Follow { log, .. } | Entry::GoOn { log } = entry {
            *self = Self::new(Arc::clone(log));
        } else {
            self.next += 1;
        }
    }
}

async fn read(place: Place) -> Entry {
    match place {
        Place::Memory(entry) => entry,
        Place::File { stream, file, at, length } => {
            let read = blocking(move || {
                let mut bytes = vec![0; length];
                let failed = |source: std::io::Error| crate::Error::State {
                    path: PathBuf::new(),
                    source: Arc::new(source),
                };
                file.read_exact_at(&mut bytes, at).map_err(failed)?;
                Ok(bytes)
            });
            match read.await {
                Ok(bytes) => Entry::Logged { stream, bytes },
                Err(error) => Entry::Warned { message: format!("a part of the log is lost: {error}") },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_that_outgrows_memory_is_read_whole_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::new(directory.path().to_owned()));
        log.push(Entry::Queued);
        for number in 0..40_u8 {
            log.logged(Stream::Stdout, vec![number; 64 << 10]).await;
        }
        let mut reader = Reader::new(Arc::clone(&log));
        assert!(matches!(reader.next().await, Entry::Queued));
        for number in 0..40_u8 {
            let Entry::Logged { bytes, .. } = reader.next().await else { panic!("output") };
            assert_eq!(bytes, vec![number; 64 << 10]);
        }
        assert!(reader.try_next().await.is_none());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the file has no name");
    }

    #[tokio::test]
    async fn an_endless_log_is_cut_and_says_so_once() {
        let log = Arc::new(Log::new(std::env::temp_dir()));
        log.kept().counted = LIMIT;
        log.logged(Stream::Stderr, vec![1]).await;
        log.logged(Stream::Stderr, vec![2]).await;
        let mut reader = Reader::new(log);
        assert!(matches!(reader.next().await, Entry::Warned { .. }));
        assert!(reader.try_next().await.is_none());
    }
}
