//! Turns an overlay's upper directory into the tree of a layer: one pass that hashes files where they lie.
//!
//! An upper holds more than a step changed: directories that were copied up on the way, overlay's own attributes,
//! whiteouts as character devices 0:0, opaque marks, and sockets, which no layer can hold. What is no change is dropped,
//! from the tree and from the directory, so that the directory can be adopted as it stands. Mtimes are clamped to the
//! step's end: a wrong clock inside a step must not spread.
//!
//! The processes of the step are gone when this runs, so the directory does not change under the walk. What they left is
//! hostile all the same: everything is opened below a handle of the upper, no link is followed, nothing recurses, and no
//! file is held whole.

mod content;
mod prune;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use farm_tree::{Device, DeviceKind, Directory, Metadata, Mtime, Node, Records, Symlink, Tree, TreeBuilder};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::commit::content::{Content, Pending, Reader, Readers};
use crate::error::Error;

const OPAQUE: &CStr = c"trusted.overlay.opaque";
const NANOS: i64 = 1_000_000_000;
/// How much of an overlong path is worth showing.
const SHOWN_PATH: usize = 60;

/// What an upper directory came to.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The layer; none when nothing changed.
    pub(crate) layer: Option<Tree>,
    /// Files in which a secret value was found.
    pub(crate) exposed: Vec<PathBuf>,
}

/// Reads `upper` against `parent`, the merged tree below it, and removes from it what is no change.
pub(crate) fn commit(
    records: &dyn Records,
    parent: &Tree,
    upper: &Path,
    end: Mtime,
    secrets: &[&[u8]],
) -> Result<Committed, Error> {
    let root = rustix::fs::openat(CWD, upper, DIRECTORY, Mode::empty())
        .map_err(|error| Error::io("open", upper)(error.into()))?;
    let (place, reader) = (Place { upper, root }, Reader::new(secrets));
    let found = std::thread::scope(|scope| {
        let readers = Readers::new(scope, &reader, &place);
        Walk { place: &place, end, found: Found::new(parent), links: HashMap::new(), aliases: Vec::new() }
            .run(readers)
    })?;
    let Found { builder, mut exposed, leftovers } = found;
    exposed.sort();
    let candidate = builder.finish(records)?;
    let layer = farm_tree::diff::normalise(records, parent, &candidate)?;
    if let Some(layer) = &layer
        && (leftovers == Leftovers::Some || layer.root.record != candidate.root.record)
    {
        prune::prune(records, &place, layer)?;
    }
    Ok(Committed { layer, exposed })
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// An upper directory, held open.
#[derive(Debug)]
struct Place<'a> {
    upper: &'a Path,
    root: OwnedFd,
}

impl Place<'_> {
    /// Opens what lies at `path`, without following links.
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Error> {
        self.try_open(path, flags).map_err(|error| self.failed("open", path, error))
    }

    fn try_open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let below = if path.is_empty() { b"." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            &self.root,
            below,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
            resolve,
        )
    }

    fn failed(&self, action: &'static str, path: &[u8], error: Errno) -> Error {
        Error::io(action, self.upper.join(OsStr::from_bytes(path)))(error.into())
    }
}

/// Whether an upper holds what no tree can.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leftovers {
    None,
    Some,
}

struct Walk<'a> {
    place: &'a Place<'a>,
    end: Mtime,
    found: Found,
    /// First path of each inode with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Further names, each with the first.
    aliases: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a walk comes to.
struct Found {
    builder: TreeBuilder,
    exposed: Vec<PathBuf>,
    leftovers: Leftovers,
}

impl Found {
    fn new(parent: &Tree) -> Self {
        let builder = TreeBuilder::new(parent.root.metadata.clone());
        Self { builder, exposed: Vec::new(), leftovers: Leftovers::None }
    }

    /// Puts files in that were read.
    fn take(&mut self, read: Vec<(Pending, Content)>) -> Result<(), Error> {
        for (Pending { path, metadata, .. }, Content { blob, xattrs, exposes }) in read {
            let metadata = Metadata { xattrs, ..metadata };
            let file = farm_tree::File { metadata, blob, hard_link: None };
            self.builder.insert(&path, Node::File(file))?;
            if exposes {
                self.exposed.push(PathBuf::from(OsStr::from_bytes(&path)));
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    fn run(mut self, mut readers: Readers<'_, '_>) -> Result<Found, Error> {
        let mut open = vec![Vec::new()];
        while let Some(path) = open.pop() {
            let handle = self.place.open(&path, DIRECTORY)?;
            self.directory(&path, &handle)?;
            let failed = |error| self.place.failed("list", &path, error);
            for entry in Dir::read_from(&handle).map_err(failed)? {
                let entry = entry.map_err(|error| self.place.failed("list", &path, error))?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let child = join(&path, name.to_bytes())?;
                let stat = rustix::fs::statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| self.place.failed("inspect", &child, error))?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => open.push(child),
                    FileType::RegularFile => {
                        if let Some(file) = self.file(child, &stat) {
                            self.found.take(readers.push(file)?)?;
                        }
                    }
                    kind @ (FileType::Symlink
                    | FileType::Fifo
                    | FileType::Socket
                    | FileType::CharacterDevice
                    | FileType::BlockDevice
                    | FileType::Unknown) => self.other(kind, &handle, name, &child, &stat)?,
                }
            }
        }
        self.found.take(readers.finish()?)?;
        for (path, first) in self.aliases {
            self.found.builder.hard_link(&path, &first)?;
        }
        Ok(self.found)
    }

    fn directory(&mut self, path: &[u8], handle: &OwnedFd) -> Result<(), Error> {
        let failed = |error| self.place.failed("inspect", path, error);
        let stat = rustix::fs::fstat(handle).map_err(failed)?;
        let mark = content::attribute(handle, OPAQUE).map_err(failed)?;
        let xattrs = content::kept_attributes(handle).map_err(failed)?;
        let metadata = Metadata { xattrs, ..self.metadata(&stat) };
        let opaque = mark.as_deref() == Some(b"y");
        Ok(self
            .found
            .builder
            .insert(path, Node::Directory(Directory { opaque, ..Directory::empty(metadata) }))?)
    }

    /// What is neither a directory nor a regular file. No attribute that a tree keeps can be on it.
    fn other(
        &mut self,
        kind: FileType,
        parent: &OwnedFd,
        name: &CStr,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), Error> {
        let metadata = self.metadata(stat);
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match kind {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|error| self.place.failed("read link", path, error))?;
                let node = Node::Symlink(Symlink { metadata, target: target.into_bytes() });
                return Ok(self.found.builder.insert(path, node)?);
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                return Ok(self.found.builder.whiteout(path)?);
            }
            FileType::CharacterDevice => DeviceKind::Character { major, minor },
            FileType::BlockDevice => DeviceKind::Block { major, minor },
            FileType::Fifo => DeviceKind::Fifo,
            FileType::Socket | FileType::RegularFile | FileType::Directory | FileType::Unknown => {
                // A socket outlives the process that bound it but means nothing without it; no tar can carry one.
                self.found.leftovers = Leftovers::Some;
                return Ok(());
            }
        };
        Ok(self.found.builder.insert(path, Node::Device(Device { metadata, kind }))?)
    }

    /// A file to read; none when it is another name of one that was seen.
    fn file(&mut self, path: Vec<u8>, stat: &Stat) -> Option<Pending> {
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                self.aliases.push((path, first.clone()));
                return None;
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.clone());
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        Some(Pending { path, metadata: self.metadata(stat), size })
    }

    fn metadata(&self, stat: &Stat) -> Metadata {
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let mode = if is_link { 0o777 } else { stat.st_mode & 0o7777 };
        Metadata {
            mode: u16::try_from(mode).expect("twelve bits fit"),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: mtime(stat).min(self.end),
            xattrs: BTreeMap::new(),
        }
    }
}

/// A time that no 64 bits of nanoseconds hold is the nearest that they do.
fn mtime(stat: &Stat) -> Mtime {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Mtime(stat.st_mtime.saturating_mul(NANOS).saturating_add(nanos))
}

/// The path of `name` in `directory`, unless a tree cannot hold it: a step can nest deeper than any path is long.
fn join(directory: &[u8], name: &[u8]) -> Result<Vec<u8>, Error> {
    let path = if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() };
    let depth = path.split(|byte| *byte == b'/').count();
    if path.len() < farm_tree::path::MAX_PATH && depth <= farm_tree::path::MAX_DEPTH {
        return Ok(path);
    }
    let shown = String::from_utf8_lossy(&path[..path.len().min(SHOWN_PATH)]).into_owned();
    Err(Error::User {
        message: format!(
            "the command left a path that is longer or deeper than an image can hold: `/{shown}…`"
        ),
        hint: Some("remove it before the command ends"),
    })
}
