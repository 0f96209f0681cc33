//! Trees written to a directory and read back.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use farm_model::BlobDigest;
use farm_tree::record::{Device, DeviceKind, Entry, Symlink};
use farm_tree::{Directory, File, MemoryRecords, Metadata, Mtime, Node, Tree, TreeBuilder, walk};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, makedev, mknodat, utimensat};
use tempfile::TempDir;

use crate::trees::CONTENTS;

/// A directory to work in: in memory where that can hold extended attributes, for thousands of files are made in it.
pub(crate) fn scratch() -> TempDir {
    let in_memory = TempDir::new_in("/dev/shm").ok();
    let able = in_memory.filter(|directory| xattr::set(directory.path(), "user.probe", b"").is_ok());
    able.unwrap_or_else(|| TempDir::new().unwrap())
}

pub(crate) fn at(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

/// Writes `tree` into the empty directory `root`, with whiteouts and opaque marks as overlayfs has them.
pub(crate) fn write(records: &MemoryRecords, tree: &Tree, root: &Path) {
    let mut linked: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut directories = vec![(root.to_owned(), tree.root.clone())];
    for step in walk(records, tree) {
        let (path, entry) = step.unwrap();
        let path = at(root, &path);
        let node = match entry {
            Entry::Whiteout => {
                mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
                continue;
            }
            Entry::Node(node) => node,
        };
        match &node {
            Node::Directory(directory) => {
                fs::create_dir(&path).unwrap();
                directories.push((path, directory.clone()));
                continue;
            }
            Node::File(file) => {
                if file.hard_link.is_some() {
                    if let Some(first) = linked.get(&format!("{file:?}")) {
                        fs::hard_link(first, &path).unwrap();
                        continue;
                    }
                    linked.insert(format!("{file:?}"), path.clone());
                }
                let text =
                    CONTENTS.into_iter().find(|text| BlobDigest::of(text.as_bytes()) == file.blob).unwrap();
                fs::write(&path, text).unwrap();
            }
            Node::Symlink(link) => symlink(OsStr::from_bytes(&link.target), &path).unwrap(),
            Node::Device(_) => mknodat(CWD, &path, FileType::Fifo, Mode::empty(), 0).unwrap(),
        }
        apply(&path, node.metadata());
    }
    for (path, directory) in directories.into_iter().rev() {
        if directory.opaque {
            xattr::set(&path, "trusted.overlay.opaque", b"y").unwrap();
        }
        apply(&path, &directory.metadata);
    }
}

/// Gives `path` the metadata; a symbolic link has no mode of its own.
pub(crate) fn apply(path: &Path, metadata: &Metadata) {
    lchown(path, Some(metadata.uid), Some(metadata.gid)).unwrap();
    if !path.is_symlink() {
        fs::set_permissions(path, fs::Permissions::from_mode(metadata.mode.into())).unwrap();
        for (name, value) in &metadata.xattrs {
            xattr::set(path, OsStr::from_bytes(name), value).unwrap();
        }
    }
    set_mtime(path, metadata.mtime);
}

pub(crate) fn set_mtime(path: &Path, mtime: Mtime) {
    let time =
        Timespec { tv_sec: mtime.0.div_euclid(1_000_000_000), tv_nsec: mtime.0.rem_euclid(1_000_000_000) };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Reads the directory `root` as a merged tree.
pub(crate) fn scan(records: &MemoryRecords, root: &Path) -> Tree {
    let mut builder = TreeBuilder::default();
    let mut inodes: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
    let mut open = vec![(root.to_owned(), Vec::new())];
    builder.insert(b"", node(root).unwrap()).unwrap();
    while let Some((directory, path)) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            // A directory that lies in one lower only lists its whiteouts, though none of them can be opened.
            let Ok(found) = entry.path().symlink_metadata() else { continue };
            let path = farm_tree::path::join(&path, entry.file_name().as_bytes());
            if found.is_dir() {
                open.push((entry.path(), path.clone()));
            } else if found.nlink() > 1 && found.is_file() {
                if let Some(first) = inodes.get(&(found.dev(), found.ino())) {
                    builder.hard_link(&path, first).unwrap();
                    continue;
                }
                inodes.insert((found.dev(), found.ino()), path.clone());
            }
            builder.insert(&path, node(&entry.path()).unwrap()).unwrap();
        }
    }
    builder.finish(records).unwrap()
}

pub(crate) fn metadata(path: &Path) -> io::Result<Metadata> {
    let found = path.symlink_metadata()?;
    let xattrs = if found.is_symlink() {
        [].into()
    } else {
        let names = xattr::list(path)?.filter(|name| farm_tree::record::xattr_is_kept(name.as_bytes()));
        names.map(|name| (name.as_bytes().to_vec(), xattr::get(path, &name).unwrap().unwrap())).collect()
    };
    Ok(Metadata {
        mode: u16::try_from(found.mode() & 0o7777).unwrap(),
        uid: found.uid(),
        gid: found.gid(),
        mtime: Mtime(found.mtime() * 1_000_000_000 + found.mtime_nsec()),
        xattrs,
    })
}

pub(crate) fn node(path: &Path) -> io::Result<Node> {
    let kind = path.symlink_metadata()?.file_type();
    let metadata = metadata(path)?;
    Ok(if kind.is_dir() {
        Node::Directory(Directory::empty(metadata))
    } else if kind.is_symlink() {
        Node::Symlink(Symlink { metadata, target: fs::read_link(path)?.as_os_str().as_bytes().to_vec() })
    } else if kind.is_fifo() {
        Node::Device(Device { metadata, kind: DeviceKind::Fifo })
    } else {
        Node::File(File { metadata, blob: BlobDigest::of(&fs::read(path)?), hard_link: None })
    })
}
