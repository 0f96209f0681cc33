//! Scanning a local context: every file that takes part gets its digest, and the tree of them all gets one name.
//!
//! Files belong to root in the tree, as `docker build` has it. What was read by an earlier scan and has not changed since
//! is not read again. What a scan found is hashed again when its bytes are taken, so a file that changes in between is
//! noticed and never stored under a wrong name.

mod assemble;
mod hash;
mod listing;
mod read;
mod stat_cache;
mod walk;
mod wanted;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use farm_dockerfile::ignore::IgnorePatterns;
use farm_model::{BlobDigest, DirectoryDigest};
use farm_tree::{Tree, path};
use rustix::fs::{CWD, FileType, Mode, OFlags, openat};

pub(crate) use read::hash;

use crate::Error;
use crate::context::listing::{Kind, Listing};
use crate::context::stat_cache::{Settling, StatCache};
use crate::context::walk::{Walk, full};
use crate::context::wanted::Reach;

const READ_BUFFER: usize = 256 << 10;
/// More threads than this find nothing to do.
const MOST_THREADS: usize = 16;

/// A local directory that a build may read.
#[derive(Clone, Debug)]
pub struct Context {
    root: PathBuf,
    ignore: IgnorePatterns,
    /// Where what was read is remembered.
    cache: Option<PathBuf>,
}

/// What a scan found.
#[derive(Debug)]
pub struct Scan {
    /// The tree.
    pub tree: Tree,
    /// Files that take part.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    records: assemble::Records,
    /// Below which the sources lie.
    root: PathBuf,
    sources: assemble::Sources,
}

impl Context {
    /// The directory `root` without what `ignore` leaves out.
    pub fn new(root: &Path, ignore: IgnorePatterns) -> Result<Self, Error> {
        let root = std::fs::canonicalize(root).map_err(Error::io("read context", root))?;
        if !root.is_dir() {
            return Err(Error::NotADirectory(root));
        }
        Ok(Self { root, ignore, cache: None })
    }

    /// Remembers in the directory `folder`, which is made, what was read, for the scans to come.
    #[must_use]
    pub fn remembered_in(self, folder: PathBuf) -> Self {
        Self { cache: Some(folder), ..self }
    }

    /// Scans what lies at, above or below `paths`; everything when one of them is empty.
    pub fn scan(&self, paths: &[String]) -> Result<Scan, Error> {
        let root = self.open()?;
        let root = root.as_fd();
        let stat = read::stat_of(root).map_err(|error| Error::io("inspect", &self.root)(error.into()))?;
        let settling = Settling::now(root, stat.stamp.device);
        let cache = self.cache.as_ref().map(|folder| StatCache::load(folder, &self.root)).unwrap_or_default();
        let mut listings = self.walk(root, &cache, wanted::clean(&self.root, paths))?;
        hash::fill(&mut listings, root, &self.root, &settling)?;
        cache.save(&listings);
        let scan = assemble::assemble(listings);
        Ok(Scan { root: self.root.clone(), ..scan })
    }

    fn open(&self) -> Result<OwnedFd, Error> {
        open_root(&self.root).map_err(Error::io("read context", &self.root))
    }

    /// Everything that takes part. What is wanted may hold symbolic links to what is not, and a `COPY` with a wildcard
    /// follows them: then all of it is walked.
    fn walk(
        &self,
        root: BorrowedFd<'_>,
        cache: &StatCache,
        wanted: Option<Vec<PathBuf>>,
    ) -> Result<Vec<Option<Listing>>, Error> {
        let walk = |reach| Walk::new(root, &self.root, &self.ignore, cache).run(reach);
        let Some(wanted) = wanted else { return walk(Reach::Everything) };
        let below = wanted.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
        let listings = walk(Reach::Below(below))?;
        let leads_out = |listing: &Listing| {
            listing.children.iter().any(|child| match &child.kind {
                Kind::Symlink(target, _) => {
                    let at = full(Path::new(""), &path::join(&listing.visit.path, &child.name));
                    !wanted::stays_within(&self.root, &wanted, &at, &full(Path::new(""), target))
                }
                Kind::Directory(_) | Kind::File(_) | Kind::Device(..) => false,
            })
        };
        if listings.iter().flatten().any(leads_out) { walk(Reach::Everything) } else { Ok(listings) }
    }
}

impl Scan {
    /// The encoded record of a directory; none when it is not one of this scan.
    pub fn record(&self, digest: DirectoryDigest) -> Option<&[u8]> {
        self.records.get(&digest).map(Vec::as_slice)
    }

    /// Where a content was seen.
    pub fn path_of(&self, blob: &BlobDigest) -> Option<PathBuf> {
        self.sources.get(blob).map(|path| full(&self.root, path))
    }

    /// The file in which a content was seen, open; none when there is none any more.
    pub(crate) fn open(&self, blob: &BlobDigest) -> io::Result<Option<File>> {
        let Some(path) = self.sources.get(blob) else { return Ok(None) };
        let root = open_root(&self.root)?;
        let Some(file) = read::open_file(root.as_fd(), path)? else { return Ok(None) };
        let is_file = read::stat_of(&file)?.file_type() == FileType::RegularFile;
        Ok(is_file.then(|| File::from(file)))
    }
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            tree: Tree::empty(),
            files: 0,
            bytes: 0,
            records: assemble::Records::default(),
            root: PathBuf::new(),
            sources: assemble::Sources::default(),
        }
    }
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, root, flags, Mode::empty())?)
}

/// Threads that work on a context at once.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(2, MOST_THREADS)
}

#[cfg(test)]
mod tests;
