//! Turns an overlay's upper directory into the tree of a layer: one pass that hashes files where they lie.
//!
//! An upper holds more than a step changed: directories that were copied up on the way, overlay's own attributes, whiteouts
//! as character devices 0:0 and opaque marks. What equals the parent's tree is dropped, from the tree and from the
//! directory, so that the directory can be adopted as it stands. Mtimes are clamped to the step's end: a wrong clock inside
//! a step must not spread.
//!
//! The processes of the step are gone when this runs, so the directory does not change under the walk; nothing is followed
//! all the same.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farm_model::BlobDigest;
use farm_tree::{Device, DeviceKind, Directory, Mtime, Node, Records, Symlink, Tree, TreeBuilder};
use memchr::memmem::Finder;

use crate::error::Error;

const OPAQUE: &str = "trusted.overlay.opaque";
const READ_BUFFER: usize = 256 << 10;

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
    let mut walk = Walk {
        upper,
        end,
        secrets: secrets.iter().filter(|secret| !secret.is_empty()).map(Finder::new).collect(),
        builder: TreeBuilder::new(parent.root.metadata.clone()),
        paths: Vec::new(),
        links: HashMap::new(),
        exposed: Vec::new(),
        buffer: vec![0; READ_BUFFER],
    };
    walk.run()?;
    let Walk { builder, paths, exposed, .. } = walk;
    let candidate = builder.finish(records)?;
    let layer = farm_tree::diff::normalise(records, parent, &candidate)?;
    match &layer {
        None => {}
        Some(layer) if layer.root.record == candidate.root.record => {}
        Some(layer) => drop_unchanged(records, upper, layer, paths)?,
    }
    Ok(Committed { layer, exposed })
}

struct Walk<'a> {
    upper: &'a Path,
    end: Mtime,
    secrets: Vec<Finder<'a>>,
    builder: TreeBuilder,
    /// Every path that was seen, parents before children.
    paths: Vec<PathBuf>,
    /// First path of each inode with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    exposed: Vec<PathBuf>,
    buffer: Vec<u8>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let metadata = std::fs::symlink_metadata(self.upper).map_err(Error::io("inspect", self.upper))?;
        self.directory(Path::new(""), &metadata)?;
        let mut pending = vec![PathBuf::new()];
        while let Some(directory) = pending.pop() {
            let full = self.upper.join(&directory);
            for entry in std::fs::read_dir(&full).map_err(Error::io("list", &full))? {
                let entry = entry.map_err(Error::io("list", &full))?;
                let path = directory.join(entry.file_name());
                let metadata = entry.metadata().map_err(Error::io("inspect", self.upper.join(&path)))?;
                self.entry(&path, &metadata)?;
                if metadata.is_dir() {
                    pending.push(path.clone());
                }
                self.paths.push(path);
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Error> {
        let name = path.as_os_str().as_bytes();
        let kind = metadata.file_type();
        let device = |kind| Node::Device(Device { metadata: farm_tree::Metadata::default(), kind });
        let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
        let mut node = if kind.is_dir() {
            return self.directory(path, metadata);
        } else if kind.is_file() {
            return self.file(path, metadata);
        } else if kind.is_symlink() {
            let full = self.upper.join(path);
            let target = std::fs::read_link(&full).map_err(Error::io("read link", &full))?;
            Node::Symlink(Symlink {
                metadata: farm_tree::Metadata::default(),
                target: target.into_os_string().into_vec(),
            })
        } else if kind.is_char_device() && metadata.rdev() == 0 {
            return Ok(self.builder.whiteout(name)?);
        } else if kind.is_char_device() {
            device(DeviceKind::Character { major, minor })
        } else if kind.is_block_device() {
            device(DeviceKind::Block { major, minor })
        } else if kind.is_fifo() {
            device(DeviceKind::Fifo)
        } else {
            // A socket outlives the process that bound it but means nothing without it; no tar can carry one.
            return Ok(());
        };
        *node.metadata_mut() = self.metadata(path, metadata)?;
        Ok(self.builder.insert(name, node)?)
    }

    fn directory(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Error> {
        let opaque = read_xattr(&self.upper.join(path), OPAQUE)?.is_some_and(|value| value == b"y");
        let directory = Directory { opaque, ..Directory::empty(self.metadata(path, metadata)?) };
        Ok(self.builder.insert(path.as_os_str().as_bytes(), Node::Directory(directory))?)
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Error> {
        let name = path.as_os_str().as_bytes();
        if metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&(metadata.dev(), metadata.ino())) {
                return Ok(self.builder.hard_link(name, first)?);
            }
            self.links.insert((metadata.dev(), metadata.ino()), name.to_vec());
        }
        let blob = self.hash(path)?;
        let file = farm_tree::File { metadata: self.metadata(path, metadata)?, blob, hard_link: None };
        Ok(self.builder.insert(name, Node::File(file))?)
    }

    fn hash(&mut self, path: &Path) -> Result<BlobDigest, Error> {
        let full = self.upper.join(path);
        let mut file = File::open(&full).map_err(Error::io("open", &full))?;
        let longest = self.secrets.iter().map(|secret| secret.needle().len()).max().unwrap_or(1);
        let (mut hasher, mut size, mut held) = (blake3::Hasher::new(), 0, 0);
        let mut exposed = false;
        self.buffer.resize(READ_BUFFER.max(longest * 2), 0);
        loop {
            let count = file.read(&mut self.buffer[held..]).map_err(Error::io("read", &full))?;
            if count == 0 {
                break;
            }
            hasher.update(&self.buffer[held..held + count]);
            size += count as u64;
            let filled = held + count;
            exposed =
                exposed || self.secrets.iter().any(|secret| secret.find(&self.buffer[..filled]).is_some());
            // A secret may lie across two reads: its beginning is looked at again.
            held = if self.secrets.is_empty() { 0 } else { filled.min(longest - 1) };
            self.buffer.copy_within(filled - held..filled, 0);
        }
        if exposed {
            self.exposed.push(path.to_path_buf());
        }
        Ok(BlobDigest { hash: *hasher.finalize().as_bytes(), size })
    }

    fn metadata(&self, path: &Path, metadata: &Metadata) -> Result<farm_tree::Metadata, Error> {
        let mode = if metadata.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 };
        let nanos = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Ok(farm_tree::Metadata {
            mode: u16::try_from(mode).expect("twelve bits fit"),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: Mtime(nanos).min(self.end),
            xattrs: kept_xattrs(&self.upper.join(path))?,
        })
    }
}

/// Removes from `upper` what `layer` does not have, children before parents.
fn drop_unchanged(
    records: &dyn Records,
    upper: &Path,
    layer: &Tree,
    paths: Vec<PathBuf>,
) -> Result<(), Error> {
    let mut directories: BTreeMap<PathBuf, Arc<farm_tree::Entries>> = BTreeMap::new();
    directories.insert(PathBuf::new(), records.entries(layer.root.record.digest)?);
    let mut dropped = Vec::new();
    let mut by_depth = paths;
    by_depth.sort();
    for path in by_depth {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let entry = directories.get(parent).and_then(|entries| entries.get(name.as_bytes()));
        match entry {
            None => dropped.push(path),
            Some(farm_tree::Entry::Node(Node::Directory(directory))) => {
                let entries = records.entries(directory.record.digest)?;
                directories.insert(path, entries);
            }
            Some(farm_tree::Entry::Node(_) | farm_tree::Entry::Whiteout) => {}
        }
    }
    for path in dropped.iter().rev() {
        let full = upper.join(path);
        let metadata = std::fs::symlink_metadata(&full).map_err(Error::io("inspect", &full))?;
        let removed =
            if metadata.is_dir() { std::fs::remove_dir(&full) } else { std::fs::remove_file(&full) };
        removed.map_err(Error::io("remove", &full))?;
    }
    Ok(())
}

fn kept_xattrs(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let mut names = [0_u8; 4096];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(Error::io("list attributes of", path)(error.into())),
    };
    let mut kept = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| farm_tree::record::xattr_is_kept(name))
    {
        if let Some(value) = read_xattr(path, name)? {
            kept.insert(name.to_vec(), value);
        }
    }
    Ok(kept)
}

fn read_xattr(path: &Path, name: impl rustix::path::Arg) -> Result<Option<Vec<u8>>, Error> {
    let mut value = vec![0; 64 << 10];
    match rustix::fs::lgetxattr(path, name, &mut value) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(Error::io("read attribute of", path)(error.into())),
    }
}
