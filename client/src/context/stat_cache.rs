//! Contents of files as an earlier scan read them, so that what did not change is not read again.
//!
//! An entry holds for as long as size, modification time, change time, inode and device are all the same; and it was only
//! kept when any later change had to show in them, because the file had rested for longer than a tick of its file system's
//! clock when it was read. Change times cannot be set, so a file that was put back with its old size and time is seen.
//! Extended attributes are kept along: changing them changes the change time.
//!
//! The cache is only ever a shortcut. One that is missing, damaged or of another version is empty, and one that cannot be
//! written is not.

mod format;
mod settled;

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use farm_tree::path;

pub(super) use settled::Settling;

use crate::context::listing::{Child, Kind, Listing, Origin};
use crate::context::stat_cache::format::{Block, Entry, Reader};
use crate::context::wanted::Reach;

/// What is remembered of one context.
#[derive(Debug, Default)]
pub(super) struct StatCache {
    /// Where it lies; none when nothing is to be remembered.
    path: Option<PathBuf>,
    bytes: Vec<u8>,
    /// Directories, sorted by path: where their paths and entries lie in `bytes`.
    directories: Vec<(Range<usize>, Range<usize>)>,
    entries: u64,
}

impl StatCache {
    /// Reads the cache of the context `root` in the directory `folder`.
    pub(super) fn load(folder: &Path, root: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let name = blake3::hash(root.as_os_str().as_bytes()).to_hex();
        let path = folder.join(format!("{}.files", &name.as_str()[..32]));
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut cache = Self::of(bytes).unwrap_or_default();
        cache.path = Some(path);
        cache
    }

    /// Reads what [`StatCache::written`] gave; none when it is damaged.
    fn of(bytes: Vec<u8>) -> Option<Self> {
        let (entries, mut reader) = Reader::open(&bytes)?;
        let mut directories: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        while !reader.is_empty() {
            let Block { path, entries } = reader.block()?;
            if directories.last().is_some_and(|(last, _)| bytes[last.clone()] >= bytes[path.clone()]) {
                return None;
            }
            directories.push((path, entries));
        }
        Some(Self { path: None, bytes, directories, entries })
    }

    /// Fills in the contents of those files of a directory that are as they were. `children` are sorted.
    pub(super) fn recall(&self, directory: &[u8], children: &mut [Child]) {
        let Some(mut known) = self.entries_of(directory) else { return };
        let mut next = known.next();
        for child in children {
            let Kind::File(contents) = &mut child.kind else { continue };
            while next.as_ref().is_some_and(|entry| entry.name < &child.name[..]) {
                next = known.next();
            }
            if let Some(entry) = &next
                && entry.name == &child.name[..]
                && entry.stamp == child.stat.stamp
            {
                *contents = entry.contents();
            }
        }
    }

    fn entries_of(&self, directory: &[u8]) -> Option<impl Iterator<Item = Entry<'_>>> {
        let found = self.directories.binary_search_by(|(path, _)| self.bytes[path.clone()].cmp(directory));
        let (_, entries) = &self.directories[found.ok()?];
        Some(Reader::entries(&self.bytes[entries.clone()]))
    }

    /// Writes down what a scan found, unless all of it was known.
    pub(super) fn save(&self, listings: &[Option<Listing>]) {
        let Some(path) = &self.path else { return };
        if !self.is_news(listings) {
            return;
        }
        if let Err(error) = put(path, &self.written(listings)) {
            tracing::debug!(path = %path.display(), %error, "the stat cache could not be written");
        }
    }

    fn is_news(&self, listings: &[Option<Listing>]) -> bool {
        let mut remembered = 0;
        for (_, origin) in listings.iter().flatten().flat_map(files) {
            match origin {
                Origin::Settled => return true,
                Origin::Remembered => remembered += 1,
                Origin::Unsettled => {}
            }
        }
        let whole =
            matches!(listings.first(), Some(Some(Listing { visit, .. })) if visit.reach == Reach::Everything);
        whole && remembered < self.entries
    }

    /// What a scan found, and what was known of the parts of the context that it did not see.
    fn written(&self, listings: &[Option<Listing>]) -> Vec<u8> {
        let seen: HashMap<&[u8], &Listing> =
            listings.iter().flatten().map(|listing| (&listing.visit.path[..], listing)).collect();
        let mut directories: BTreeMap<&[u8], BTreeMap<&[u8], Entry<'_>>> = BTreeMap::new();
        for (directory, entries) in &self.directories {
            let directory = &self.bytes[directory.clone()];
            if !is_gone(directory, &seen) {
                let entries = Reader::entries(&self.bytes[entries.clone()]);
                directories.insert(directory, entries.map(|entry| (entry.name, entry)).collect());
            }
        }
        for listing in listings.iter().flatten() {
            let entries = directories.entry(&listing.visit.path).or_default();
            for child in &listing.children {
                entries.remove(&child.name[..]);
            }
            entries.extend(
                files(listing)
                    .filter(|(_, origin)| *origin != Origin::Unsettled)
                    .filter_map(|(child, _)| Some((&child.name[..], Entry::of(child)?))),
            );
        }
        directories.retain(|_, entries| !entries.is_empty());
        format::write(&directories)
    }
}

/// The files of a listing whose contents are known, and how.
fn files(listing: &Listing) -> impl Iterator<Item = (&Child, Origin)> {
    listing.children.iter().filter_map(|child| match &child.kind {
        Kind::File(Some(contents)) => Some((child, contents.origin)),
        Kind::File(None) | Kind::Directory(_) | Kind::Symlink(..) | Kind::Device(..) => None,
    })
}

/// Whether a scan looked where `directory` was and saw all that there is now.
fn is_gone(directory: &[u8], seen: &HashMap<&[u8], &Listing>) -> bool {
    let mut above = directory;
    loop {
        if let Some(listing) = seen.get(above) {
            return listing.visit.reach == Reach::Everything;
        }
        if above.is_empty() {
            return false;
        }
        above = path::parent(above);
    }
}

/// Replaces the file at once.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
