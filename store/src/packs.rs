//! Packs: files that hold many small blobs one after the other.
//!
//! A blob of some kilobytes would cost a file of its own five system calls and an inode; in a pack it costs one write. A
//! blob's row names pack and offset. Bytes are written before the row, so a process kill leaves at most a gap. What was
//! appended since the last sync is one *range*; its marker stands for all of it, and under another boot id every row that
//! points behind the start of a marked range is discarded. [`Packs::cut`] waits for appends under way, so a range that
//! a sync covers gets no more rows.
//!
//! Deliberately absent: giving space back in place. A prune moves what is alive out of a pack that is mostly dead.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use farm_model::BlobDigest;

use crate::Error;
use crate::blobs::{blob_key, pack_row};
use crate::database::{Batch, Table, Write};
use crate::durability::{Fresh, Kind};
use crate::error::Context;
use crate::store::Core;

/// The largest blob that goes to a pack.
pub(crate) const PACKED_BYTES: usize = 128 << 10;
/// A pack that is as long is followed by a new one.
const PACK_BYTES: u64 = 64 << 20;
/// How many packs are held open for reading.
const OPEN_PACKS: usize = 64;

/// Where in the packs a blob lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Slot {
    pub(crate) pack: u64,
    pub(crate) offset: u64,
}

pub(crate) struct Packs {
    directory: PathBuf,
    /// Held for reading while bytes and their row are written, for writing while a range ends.
    gate: RwLock<()>,
    current: Mutex<Current>,
    open: Mutex<HashMap<u64, Arc<File>>>,
}

/// The pack that is appended to.
struct Current {
    id: u64,
    file: Option<Arc<File>>,
    end: u64,
    range: Range,
}

/// What was appended since the last sync.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Range {
    Empty,
    Marked,
}

impl Packs {
    /// Finds the pack that an earlier process appended to last.
    pub(crate) fn open(directory: PathBuf) -> Result<Self, Error> {
        let mut last = None;
        for id in ids(&directory)? {
            last = last.max(Some(id));
        }
        let current = Current { id: last.unwrap_or(0), file: None, end: 0, range: Range::Empty };
        Ok(Self { directory, gate: RwLock::default(), current: Mutex::new(current), open: Mutex::default() })
    }

    /// Appends `bytes`, which are `blob`, and records where they are.
    pub(crate) fn keep(&self, core: &Core, blob: &BlobDigest, bytes: &[u8]) -> Result<(), Error> {
        self.keep_all(core, core.database.batch(), std::slice::from_ref(blob), bytes)
    }

    /// Appends `bytes`, which are `blobs` one after the other, and records where they are together with what is in `batch`.
    pub(crate) fn keep_all(
        &self,
        core: &Core,
        mut batch: Batch<'_>,
        blobs: &[BlobDigest],
        bytes: &[u8],
    ) -> Result<(), Error> {
        if bytes.is_empty() {
            return batch.write(Write::Lazy);
        }
        let _appending = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let (start, file) = self.reserve(core, bytes.len() as u64)?;
        file.write_all_at(bytes, start.offset).while_doing("write", self.path(start.pack))?;
        let mut slot = start;
        for blob in blobs {
            batch.put(Table::Blobs, &blob_key(blob), &pack_row(slot));
            slot.offset += blob.size;
        }
        batch.write(Write::Lazy)?;
        core.durability.grow(bytes.len() as u64);
        Ok(())
    }

    /// Room for `size` bytes, whose range is marked as fresh.
    fn reserve(&self, core: &Core, size: u64) -> Result<(Slot, Arc<File>), Error> {
        let mut current = self.current();
        if current.end >= PACK_BYTES {
            *current = Current { id: current.id + 1, file: None, end: 0, range: Range::Empty };
        }
        let file = if let Some(file) = &current.file {
            Arc::clone(file)
        } else {
            let path = self.path(current.id);
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let file = Arc::new(file.while_doing("open", &path)?);
            current.end = file.metadata().while_doing("read", &path)?.len();
            current.file = Some(Arc::clone(&file));
            file
        };
        let slot = Slot { pack: current.id, offset: current.end };
        if current.range == Range::Empty {
            let marker = Fresh::new(Kind::Pack, &range_key(slot));
            core.durability.record(core.database.batch(), vec![marker], 0)?;
            current.range = Range::Marked;
        }
        current.end += size;
        Ok((slot, file))
    }

    /// Ends the range: whatever was appended until now has its row, and what comes later gets a marker of its own. Nothing
    /// is appended while the guard lives.
    pub(crate) fn cut(&self) -> RwLockWriteGuard<'_, ()> {
        let gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.current().range = Range::Empty;
        gate
    }

    /// Ends the current pack; the next append begins a new one. Returns the first pack that was not begun yet.
    pub(crate) fn roll(&self) -> u64 {
        let _gate = self.cut();
        let mut current = self.current();
        // A pack that nothing was written to may not exist as a file; skipping its number costs nothing.
        *current = Current { id: current.id + 1, file: None, end: 0, range: Range::Empty };
        current.id
    }

    /// The file of a pack; none when it is gone.
    pub(crate) fn file(&self, pack: u64) -> Result<Option<Arc<File>>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&pack) {
            return Ok(Some(Arc::clone(file)));
        }
        let path = self.path(pack);
        let file = match File::open(&path) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).while_doing("open", &path),
        };
        if open.len() >= OPEN_PACKS {
            open.clear();
        }
        open.insert(pack, Arc::clone(&file));
        Ok(Some(file))
    }

    /// Takes a pack that no row points to any more out of use; returns where its file is.
    pub(crate) fn retire(&self, pack: u64) -> PathBuf {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&pack);
        self.path(pack)
    }

    /// Every pack that is there.
    pub(crate) fn all(&self) -> Result<Vec<u64>, Error> {
        ids(&self.directory)
    }

    pub(crate) fn path(&self, pack: u64) -> PathBuf {
        self.directory.join(format!("{pack:016x}"))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ids(directory: &Path) -> Result<Vec<u64>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).while_doing("read", directory)? {
        let name = entry.while_doing("read", directory)?.file_name();
        found.extend(name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok()));
    }
    Ok(found)
}

/// The key of a marker: the pack and where the range starts.
fn range_key(start: Slot) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&start.pack.to_be_bytes());
    key[8..].copy_from_slice(&start.offset.to_be_bytes());
    key
}

/// Where the range of a marker starts.
pub(crate) fn start_of_range(key: &[u8]) -> Option<Slot> {
    let (pack, offset) = key.split_first_chunk::<8>()?;
    let offset = offset.try_into().ok()?;
    Some(Slot { pack: u64::from_be_bytes(*pack), offset: u64::from_be_bytes(offset) })
}
