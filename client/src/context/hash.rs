//! Reading the files whose contents nobody remembers.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use farm_tree::path;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::Error;
use crate::context::listing::{Child, Contents, Kind, Listing, Origin};
use crate::context::read::{hash, open_file, stat_of, xattrs_of};
use crate::context::stat_cache::Settling;
use crate::context::walk::full;
use crate::context::{READ_BUFFER, threads};

/// Threads beyond the processors, which wait for the disk.
const WAITING: usize = 2;

/// Reads what is not known yet. A file that is gone, or is none any more, stays without contents.
pub(super) fn fill(
    listings: &mut [Option<Listing>],
    root: BorrowedFd<'_>,
    shown: &Path,
    settling: &Settling,
) -> Result<(), Error> {
    let unknown: Vec<(usize, usize)> = listings
        .iter()
        .enumerate()
        .filter_map(|(at, listing)| Some((at, listing.as_ref()?)))
        .flat_map(|(at, listing)| {
            let unknown = move |(child, found): (usize, &Child)| {
                matches!(found.kind, Kind::File(None)).then_some((at, child))
            };
            listing.children.iter().enumerate().filter_map(unknown)
        })
        .collect();
    let next = AtomicUsize::new(0);
    let job = Job { listings, unknown: &unknown, next: &next, root, shown, settling };
    let threads = (threads() + WAITING).min(unknown.len());
    let found: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(|| job.work())).collect();
        handles.into_iter().map(|handle| handle.join().expect("hashing does not panic")).collect()
    });
    for found in found {
        for ((at, child), contents) in found? {
            if let Some(listing) = &mut listings[at] {
                listing.children[child].kind = Kind::File(Some(contents));
            }
        }
    }
    Ok(())
}

struct Job<'a> {
    listings: &'a [Option<Listing>],
    /// Positions of listings and of children in them.
    unknown: &'a [(usize, usize)],
    next: &'a AtomicUsize,
    root: BorrowedFd<'a>,
    shown: &'a Path,
    settling: &'a Settling,
}

type Found = Vec<((usize, usize), Contents)>;

impl Job<'_> {
    fn work(&self) -> Result<Found, Error> {
        let mut buffer = vec![0; READ_BUFFER];
        let mut found = Vec::new();
        while let Some(&(at, child)) = self.unknown.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let Some(listing) = &self.listings[at] else { continue };
            let contents = self.read(&listing.visit.path, &listing.children[child], &mut buffer)?;
            found.extend(contents.map(|contents| ((at, child), contents)));
        }
        Ok(found)
    }

    fn read(&self, directory: &[u8], child: &Child, buffer: &mut [u8]) -> Result<Option<Contents>, Error> {
        let at = path::join(directory, &child.name);
        let failed = |error: Errno| Error::io("read", full(self.shown, &at))(error.into());
        let Some(file) = open_file(self.root, &at).map_err(failed)? else { return Ok(None) };
        let before = stat_of(&file).map_err(failed)?;
        if before.file_type() != FileType::RegularFile {
            return Ok(None);
        }
        let mut file = File::from(file);
        let blob = hash(&mut file, buffer).map_err(Error::io("read", full(self.shown, &at)))?;
        let xattrs = xattrs_of(&file).map_err(failed)?;
        let after = stat_of(&file).map_err(failed)?;
        // What changed while it was read is checked again when its bytes are taken, and remembered by nobody.
        let rested = before.stamp == child.stat.stamp && after.stamp == child.stat.stamp;
        let settled = rested && blob.size == after.stamp.size && self.settling.is_settled(&after.stamp);
        let origin = if settled { Origin::Settled } else { Origin::Unsettled };
        Ok(Some(Contents { blob, xattrs, origin }))
    }
}
