//! What survives which accident.
//!
//! A file is written, renamed to its final name, and only then recorded, together with a *fresh* marker that holds the
//! boot id. A process kill loses neither. A power cut may lose the file's bytes but keep the record; so under another
//! boot id every fresh file is discarded. [`Durability::sync`] ends freshness in batches: one `syncfs`, then one synced
//! write that deletes the markers.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

use crate::Error;
use crate::database::{Batch, Database, Table, Write, read_value, value};
use crate::error::Context;
use crate::packs::Packs;

/// How many times as long a sync waits while there is work.
const PATIENCE: u32 = 6;
/// How long nothing is to be done before memory is given back.
const REST: Duration = Duration::from_secs(10);
/// How often it is looked whether there still is.
const BUSY_WAIT: Duration = Duration::from_millis(500);

/// What kind of file a marker stands for; the numbers are on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Blob = 0,
    Layer = 1,
    Oci = 2,
    /// A range of a pack.
    Pack = 3,
}

/// A marker: kind and key of the row that names the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fresh {
    pub(crate) kind: Kind,
    pub(crate) key: Vec<u8>,
}

impl Fresh {
    pub(crate) fn new(kind: Kind, key: &[u8]) -> Self {
        Self { kind, key: key.to_owned() }
    }

    fn row(&self) -> Vec<u8> {
        [&[self.kind as u8], self.key.as_slice()].concat()
    }

    fn of_row(row: &[u8]) -> Option<Self> {
        let (kind, key) = row.split_first()?;
        let kind = match kind {
            0 => Kind::Blob,
            1 => Kind::Layer,
            2 => Kind::Oci,
            3 => Kind::Pack,
            _ => return None,
        };
        Some(Self::new(kind, key))
    }
}

/// When the background thread syncs on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) after: Duration,
    pub(crate) bytes: u64,
}

/// Fresh files that were not yet synced.
#[derive(Debug, Default)]
struct Pending {
    files: Vec<Fresh>,
    bytes: u64,
    since: Option<Instant>,
    trash: bool,
    closing: bool,
}

/// What the background thread has to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chore {
    Sync,
    /// Nothing happens: memory can be given back.
    Rest,
    EmptyTrash,
    Stop,
}

pub(crate) struct Durability {
    root: OwnedFd,
    path: PathBuf,
    boot: String,
    pace: Pace,
    pending: Mutex<Pending>,
    wake: Condvar,
    syncing: Mutex<()>,
}

impl Durability {
    pub(crate) fn new(root: &Path, boot: String, pace: Pace) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: rustix::fs::open(root, flags, Mode::empty()).while_doing("open", root)?,
            path: root.to_owned(),
            boot,
            pace,
            pending: Mutex::default(),
            wake: Condvar::new(),
            syncing: Mutex::default(),
        })
    }

    /// The identity of this boot.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// Reads the markers that an earlier process left; returns those of another boot, whose files cannot be trusted.
    pub(crate) fn restore(&self, database: &Database) -> Result<Vec<Fresh>, Error> {
        let mut lost = Vec::new();
        let mut pending = self.pending();
        for (row, bytes) in database.rows(Table::Fresh, &[])? {
            let boot = read_value(Table::Fresh, &bytes, |d| d.str().map(str::to_owned))?;
            let Some(fresh) = Fresh::of_row(&row) else {
                continue;
            };
            if boot == self.boot {
                pending.files.push(fresh);
            } else {
                lost.push(fresh);
            }
        }
        if !pending.files.is_empty() {
            pending.since = Some(Instant::now());
        }
        Ok(lost)
    }

    /// Writes `batch` with markers for `files`, which already have their final names and hold about `bytes`.
    pub(crate) fn record(&self, mut batch: Batch<'_>, files: Vec<Fresh>, bytes: u64) -> Result<(), Error> {
        let mut boot = value();
        boot.str(&self.boot);
        for fresh in &files {
            batch.put(Table::Fresh, &fresh.row(), boot.as_bytes());
        }
        batch.write(Write::Lazy)?;
        let mut pending = self.pending();
        pending.files.extend(files);
        pending.bytes = pending.bytes.saturating_add(bytes);
        pending.since.get_or_insert_with(Instant::now);
        drop(pending);
        self.wake.notify_all();
        Ok(())
    }

    /// Counts bytes that were written to a file whose marker exists.
    pub(crate) fn grow(&self, bytes: u64) {
        let mut pending = self.pending();
        pending.bytes = pending.bytes.saturating_add(bytes);
        if pending.bytes >= self.pace.bytes {
            drop(pending);
            self.wake.notify_all();
        }
    }

    /// Removes the markers of `files` in `batch`: the files are gone.
    pub(crate) fn forget(batch: &mut Batch<'_>, files: &[Fresh]) {
        for fresh in files {
            batch.delete(Table::Fresh, &fresh.row());
        }
    }

    /// Makes everything that was recorded before this call survive a power cut.
    pub(crate) fn sync(&self, database: &Database, packs: &Packs) -> Result<(), Error> {
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, bytes) = {
            let _gate = packs.cut();
            let mut pending = self.pending();
            pending.since = None;
            (mem::take(&mut pending.files), mem::take(&mut pending.bytes))
        };
        if files.is_empty() {
            return database.flush_log();
        }
        let synced = self.sync_files(database, &files);
        if synced.is_err() {
            let mut pending = self.pending();
            pending.files.extend(files);
            pending.bytes += bytes;
            pending.since = Some(Instant::now());
        }
        synced
    }

    fn sync_files(&self, database: &Database, files: &[Fresh]) -> Result<(), Error> {
        rustix::fs::syncfs(&self.root).while_doing("sync", &self.path)?;
        let mut batch = database.batch();
        Self::forget(&mut batch, files);
        batch.write(Write::Synced)
    }

    /// Tells the background thread that there is something to delete.
    pub(crate) fn trash_filled(&self) {
        self.pending().trash = true;
        self.wake.notify_all();
    }

    /// Tells the background thread to end.
    pub(crate) fn close(&self) {
        self.pending().closing = true;
        self.wake.notify_all();
    }

    /// Waits for the next thing to do. While `is_busy` says so, a sync is put off for some time: it would have whoever writes
    /// to the same file system wait, running steps above all.
    pub(crate) fn next_chore(&self, is_busy: &dyn Fn() -> bool) -> Chore {
        let mut pending = self.pending();
        loop {
            if pending.closing {
                return Chore::Stop;
            }
            if mem::take(&mut pending.trash) {
                return Chore::EmptyTrash;
            }
            let waited = pending.since.map(|since| since.elapsed());
            let due =
                waited.is_some_and(|waited| waited >= self.pace.after || pending.bytes >= self.pace.bytes);
            pending = match waited {
                Some(waited) if due && (waited >= self.pace.after * PATIENCE || !is_busy()) => {
                    return Chore::Sync;
                }
                Some(_) if due => {
                    let woken = self.wake.wait_timeout(pending, BUSY_WAIT);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(waited) => {
                    let rest = self.pace.after.saturating_sub(waited);
                    let woken = self.wake.wait_timeout(pending, rest);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = self.wake.wait_timeout(pending, REST);
                    let (pending, waited) = woken.unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() {
                        return Chore::Rest;
                    }
                    pending
                }
            };
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The identity of the running kernel's boot.
pub(crate) fn boot_id() -> Result<String, Error> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path).while_doing("read", path)?;
    Ok(text.trim().to_owned())
}
