//! Which entries of a context take part: those that are wanted and not ignored.
//!
//! Directories are visited by several threads, each by one.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use farm_dockerfile::ignore::IgnorePatterns;
use farm_tree::{DeviceKind, path};
use rustix::fs::{FileType, RawDir, readlinkat};
use rustix::io::Errno;

use crate::Error;
use crate::context::listing::{Child, Kind, Listing, Stat, Visit, Xattrs};
use crate::context::read::{open_directory, stat_at, stat_of, unless_gone, xattrs_at, xattrs_of};
use crate::context::stat_cache::StatCache;
use crate::context::threads;
use crate::context::wanted::Reach;

/// Room for the names that one call to the kernel gives.
const NAMES: usize = 64 << 10;

/// A walk over a context.
pub(super) struct Walk<'a> {
    pub(super) root: BorrowedFd<'a>,
    pub(super) shown: &'a Path,
    pub(super) ignore: &'a IgnorePatterns,
    pub(super) cache: &'a StatCache,
    /// Position of the next listing.
    next: AtomicUsize,
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    visits: Vec<Visit>,
    /// Threads that may still find directories.
    busy: usize,
    failed: Option<Error>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        root: BorrowedFd<'a>,
        shown: &'a Path,
        ignore: &'a IgnorePatterns,
        cache: &'a StatCache,
    ) -> Self {
        let (next, pending, changed) = (AtomicUsize::new(0), Mutex::default(), Condvar::new());
        Self { root, shown, ignore, cache, next, pending, changed }
    }

    /// Every listing at its position; none where a directory was gone before it was read.
    pub(super) fn run(self, reach: Reach) -> Result<Vec<Option<Listing>>, Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let visit = Visit { id, path: Vec::new(), depth: 0, verdict: self.ignore.root(), reach };
        self.lock().visits.push(visit);
        let found: Vec<Vec<Listing>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads()).map(|_| scope.spawn(|| self.work())).collect();
            handles.into_iter().map(|handle| handle.join().expect("walking does not panic")).collect()
        });
        if let Some(error) = self.lock().failed.take() {
            return Err(error);
        }
        let mut listings = Vec::new();
        listings.resize_with(self.next.load(Ordering::Relaxed), || None);
        for listing in found.into_iter().flatten() {
            let id = listing.visit.id;
            listings[id] = Some(listing);
        }
        Ok(listings)
    }

    /// Visits directories until none is left and nobody can find more.
    fn work(&self) -> Vec<Listing> {
        let mut names = vec![MaybeUninit::uninit(); NAMES];
        let mut listings = Vec::new();
        while let Some(visit) = self.take() {
            let mut found = Vec::new();
            let visited = self.visit(visit, &mut names, &mut found);
            let mut pending = self.lock();
            pending.busy -= 1;
            match visited {
                Ok(listing) => listings.extend(listing),
                Err(error) => pending.failed = Some(error),
            }
            pending.visits.append(&mut found);
            drop(pending);
            self.changed.notify_all();
        }
        listings
    }

    fn take(&self) -> Option<Visit> {
        let mut pending = self.lock();
        loop {
            if pending.failed.is_some() {
                return None;
            }
            if let Some(visit) = pending.visits.pop() {
                pending.busy += 1;
                return Some(visit);
            }
            if pending.busy == 0 {
                return None;
            }
            pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists one directory; those in it that are to be visited are added to `found`.
    fn visit(
        &self,
        visit: Visit,
        names: &mut [MaybeUninit<u8>],
        found: &mut Vec<Visit>,
    ) -> Result<Option<Listing>, Error> {
        let failed = |error: Errno| Error::io("list", self.full(&visit.path))(error.into());
        let Some(directory) = open_directory(self.root, &visit.path).map_err(failed)? else {
            return Ok(None);
        };
        let directory = directory.as_fd();
        let metadata = stat_of(directory).map_err(failed)?;
        let metadata = metadata.metadata(xattrs_of(directory).map_err(failed)?);
        let mut children = Vec::new();
        if let Some(wanted) = visit.reach.names() {
            for name in wanted {
                let name = CString::new(name).map_err(|error| failed_path(name, &error))?;
                children.extend(self.child(&visit, directory, &name, found)?);
            }
        } else {
            let mut listed = RawDir::new(directory, names);
            while let Some(entry) = listed.next() {
                let entry = entry.map_err(failed)?;
                if path::is_name(entry.file_name().to_bytes()) {
                    children.extend(self.child(&visit, directory, entry.file_name(), found)?);
                }
            }
            children.sort_unstable_by(|one: &Child, other| one.name.cmp(&other.name));
        }
        self.cache.recall(&visit.path, &mut children);
        Ok(Some(Listing { visit, metadata, children }))
    }

    fn child(
        &self,
        visit: &Visit,
        directory: BorrowedFd<'_>,
        name: &std::ffi::CStr,
        found: &mut Vec<Visit>,
    ) -> Result<Option<Child>, Error> {
        let bytes = name.to_bytes();
        let at = || path::join(&visit.path, bytes);
        let failed = |error: Errno| Error::io("inspect", self.full(&at()))(error.into());
        let verdict =
            if self.ignore.is_empty() { visit.verdict } else { self.ignore.below(visit.verdict, at()) };
        if verdict.is_ignored() && self.ignore.may_skip(verdict, at()) {
            return Ok(None);
        }
        let Some(stat) = stat_at(directory, name).map_err(failed)? else { return Ok(None) };
        let kind = match stat.file_type() {
            FileType::Directory => {
                let Some(reach) = visit.reach.of(bytes) else { return Ok(None) };
                let (path, depth) = (at(), visit.depth + 1);
                if depth > path::MAX_DEPTH || path.len() >= path::MAX_PATH {
                    return Err(farm_tree::Error::InvalidPath(path::text(&path)).into());
                }
                let id = self.next.fetch_add(1, Ordering::Relaxed);
                found.push(Visit { id, path, depth, verdict, reach });
                Some(Kind::Directory(id))
            }
            _ if verdict.is_ignored() => None,
            FileType::RegularFile => Some(Kind::File(None)),
            FileType::Symlink => {
                let target = unless_gone(readlinkat(directory, name, Vec::new())).map_err(failed)?;
                let Some(target) = target else { return Ok(None) };
                Some(Kind::Symlink(target.into_bytes(), self.xattrs(&at())?))
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                Some(Kind::Device(device(&stat), self.xattrs(&at())?))
            }
            // Nothing can hold one.
            FileType::Socket | FileType::Unknown => None,
        };
        Ok(kind.map(|kind| Child { name: bytes.into(), stat, kind }))
    }

    fn xattrs(&self, path: &[u8]) -> Result<Xattrs, Error> {
        let full = self.full(path);
        xattrs_at(&full).map_err(|error| Error::io("read attributes of", full)(error.into()))
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        full(self.shown, path)
    }
}

/// The path of a tree path below `root`.
pub(super) fn full(root: &Path, path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    root.join(std::ffi::OsStr::from_bytes(path))
}

fn failed_path(name: &[u8], error: &std::ffi::NulError) -> Error {
    tracing::debug!(%error, "a wanted path is none");
    farm_tree::Error::InvalidPath(path::text(name)).into()
}

fn device(stat: &Stat) -> DeviceKind {
    let (major, minor) = stat.number;
    let kind = stat.file_type();
    if kind == FileType::Fifo {
        DeviceKind::Fifo
    } else if kind == FileType::BlockDevice {
        DeviceKind::Block { major, minor }
    } else {
        DeviceKind::Character { major, minor }
    }
}
