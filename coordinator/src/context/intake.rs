//! Bytes of a context on their way into the store, where the client's paths can be read.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use farm_model::BlobDigest;
use farm_store::{Intake, Store};
use rustix::fs::OFlags;

use super::Ingest;
use crate::Error;

/// Fewer files than these are taken sooner than a thread is started.
const WORTH_THREADS: usize = 32;
const MOST_THREADS: usize = 16;

/// Takes the bytes of `blobs` from where they were seen: a path for each.
pub(super) fn take_all(
    store: &Store,
    blobs: &[BlobDigest],
    seen: &[Option<Vec<u8>>],
) -> Result<Ingest, Error> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if blobs.len() < WORTH_THREADS { 1 } else { processors.min(MOST_THREADS) };
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut intake = store.intake();
        while let Some((blob, path)) = both(blobs, seen, next.fetch_add(1, Ordering::Relaxed)) {
            // Nowhere: another step had the context scanned again, and it has changed.
            let Some(path) = path else { return Ok(Ingest::Changed) };
            if take(&mut intake, blob, Path::new(OsStr::from_bytes(path)))? == Ingest::Changed {
                return Ok(Ingest::Changed);
            }
        }
        intake.finish()?;
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

type Seen<'a> = (&'a BlobDigest, &'a Option<Vec<u8>>);

fn both<'a>(blobs: &'a [BlobDigest], seen: &'a [Option<Vec<u8>>], index: usize) -> Option<Seen<'a>> {
    Some((blobs.get(index)?, seen.get(index)?))
}

fn take(intake: &mut Intake<'_>, blob: &BlobDigest, path: &Path) -> Result<Ingest, Error> {
    // What has become a FIFO meanwhile must not be waited for.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let Ok(mut file) = opened else { return Ok(Ingest::Changed) };
    match intake.take(&mut file, blob) {
        Ok(()) => Ok(Ingest::Complete),
        Err(farm_store::Error::Mismatch { .. } | farm_store::Error::Source(_)) => Ok(Ingest::Changed),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(directory: &Path, count: usize) -> (Vec<BlobDigest>, Vec<Option<Vec<u8>>>) {
        let file = |number: usize| {
            let (path, content) = (directory.join(number.to_string()), format!("content {number}"));
            std::fs::write(&path, &content).unwrap();
            (BlobDigest::of(content.as_bytes()), Some(path.into_os_string().into_encoded_bytes()))
        };
        (0..count).map(file).unzip()
    }

    #[test]
    fn files_that_changed_vanished_or_became_something_else_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let (blobs, mut seen) = blobs(directory.path(), 100);
        let taken = |seen: &[_]| take_all(&store, &blobs, seen).unwrap();
        assert_eq!(taken(&seen), Ingest::Complete);
        assert!(store.contains(&blobs[99]).unwrap());

        let path = directory.path().join("7");
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
        seen[7] = None;
        assert_eq!(taken(&seen), Ingest::Changed);
    }
}
