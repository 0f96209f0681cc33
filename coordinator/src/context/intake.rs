//! Bytes and records of a context on their way into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use farm_model::BlobDigest;
use farm_store::Store;
use farm_tree::{Entries, Entry, MemoryRecords, Node, Records as _, Tree};
use rustix::fs::OFlags;

use super::Ingest;
use crate::Error;

/// Fewer files than these are taken sooner than a thread is started.
const WORTH_THREADS: usize = 32;
const MOST_THREADS: usize = 16;

/// Takes the bytes of `blobs` from where they were seen.
pub(super) fn take_all(
    store: &Store,
    blobs: &[BlobDigest],
    seen: &BTreeMap<BlobDigest, PathBuf>,
) -> Result<Ingest, Error> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if blobs.len() < WORTH_THREADS { 1 } else { processors.min(MOST_THREADS) };
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Nowhere: another step had the context scanned again, and it has changed.
            let Some(path) = seen.get(blob) else { return Ok(Ingest::Changed) };
            if take(store, blob, path)? == Ingest::Changed {
                return Ok(Ingest::Changed);
            }
        }
        Ok(Ingest::Complete)
    };
    if threads == 1 {
        return worker();
    }
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let results = handles.into_iter().map(|handle| handle.join().expect("taking files does not panic"));
        let results = results.collect::<Result<Vec<_>, Error>>()?;
        Ok(if results.contains(&Ingest::Changed) { Ingest::Changed } else { Ingest::Complete })
    })
}

fn take(store: &Store, blob: &BlobDigest, path: &Path) -> Result<Ingest, Error> {
    // What has become a FIFO meanwhile must not be waited for.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let Ok(mut file) = opened else { return Ok(Ingest::Changed) };
    match store.ingest_expected(&mut file, blob) {
        Ok(()) => Ok(Ingest::Complete),
        Err(farm_store::Error::Mismatch { .. } | farm_store::Error::Source(_)) => Ok(Ingest::Changed),
        Err(error) => Err(error.into()),
    }
}

/// Copies the records of `tree`, each once.
pub(super) fn transfer(from: &MemoryRecords, to: &Store, tree: &Tree) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let mut pending = vec![tree.root.record.digest];
    while let Some(digest) = pending.pop() {
        if !seen.insert(digest) || to.has_record(&digest)? {
            continue;
        }
        let entries = from.entries(digest)?;
        pending.extend(entries.values().filter_map(|entry| match entry {
            Entry::Node(Node::Directory(directory)) => Some(directory.record.digest),
            Entry::Node(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout => None,
        }));
        to.put(Entries::clone(&entries))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(directory: &Path, count: usize) -> (Vec<BlobDigest>, BTreeMap<BlobDigest, PathBuf>) {
        let file = |number: usize| {
            let (path, content) = (directory.join(number.to_string()), format!("content {number}"));
            std::fs::write(&path, &content).unwrap();
            (BlobDigest::of(content.as_bytes()), path)
        };
        let seen: BTreeMap<_, _> = (0..count).map(file).collect();
        (seen.keys().copied().collect(), seen)
    }

    #[test]
    fn files_that_changed_vanished_or_became_something_else_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let (blobs, mut seen) = blobs(directory.path(), 100);
        let taken = |seen: &_| take_all(&store, &blobs, seen).unwrap();
        assert_eq!(taken(&seen), Ingest::Complete);
        assert!(store.contains(&blobs[99]).unwrap());

        let path = seen[&blobs[7]].clone();
        std::fs::write(&path, "other").unwrap();
        assert_eq!(taken(&seen), Ingest::Changed);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(taken(&seen), Ingest::Changed);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(taken(&seen), Ingest::Changed);
        std::fs::remove_dir(&path).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(taken(&seen), Ingest::Changed);
        seen.remove(&blobs[7]);
        assert_eq!(taken(&seen), Ingest::Changed);
    }
}
