//! Builds a layer directory from its tree, through directory handles.
//!
//! Files of one hard-link group are one file; otherwise every file is a file of its own, never a hard link to the same
//! bytes elsewhere: an overlay shows a lower's inode and link count, so a step could tell what the node happened to
//! hold. Bytes come from a spool, which gives its files away, or from a blob, shared by reflink or copied. What is copied
//! is hashed on the way, so that a damaged copy goes no further; what is moved or shared is not read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farm_model::{BlobDigest, LayerDigest};
use farm_tree::{Device, DeviceKind, Directory, Entries, Entry, Metadata, Node, Tree};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dev, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use crate::conform::{set_opaque, times};
use crate::error::Context;
use crate::layout::make_directory;
use crate::spool::{Spool, Spooled};
use crate::{Error, Store, handles};

/// A layer directory under a temporary name; thrown away unless it is given its final one.
pub(crate) struct Site {
    store: Store,
    path: PathBuf,
}

impl Site {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the complete directory its final name.
    pub(crate) fn keep_as(mut self, layer: &LayerDigest) -> Result<(), Error> {
        let to = self.store.core.layout.layer(layer);
        move_directory(&self.store, &self.path, &to)?;
        self.path.clear();
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty()
            && let Err(error) = self.store.throw_away(&self.path)
        {
            tracing::warn!(%error, "an unfinished layer directory is left until the next start");
        }
    }
}

/// Renames a layer directory to its final name, where an unrecorded one may lie in the way.
pub(crate) fn move_directory(store: &Store, from: &Path, to: &Path) -> Result<(), Error> {
    if to.symlink_metadata().is_ok() {
        store.throw_away(to)?;
    }
    fs::rename(from, to).while_doing("rename to", to)
}

impl Store {
    /// Builds the directory of `tree` under a temporary name.
    pub(crate) fn build(&self, tree: &Tree, spool: Option<&Spool>) -> Result<Site, Error> {
        let path = self.core.layout.temporary("layer");
        make_directory(&path)?;
        let site = Site { store: self.clone(), path };
        let mut builder = Builder {
            store: self,
            spool,
            root: handles::open_root(&site.path).while_doing("open", &site.path)?,
            top: &site.path,
            links: HashMap::new(),
            placed: HashMap::new(),
            made: Vec::new(),
        };
        self.each_directory(tree, &mut |path, directory, entries| builder.fill(path, directory, entries))?;
        builder.finish_directories()?;
        Ok(site)
    }
}

struct Builder<'a> {
    store: &'a Store,
    spool: Option<&'a Spool>,
    root: OwnedFd,
    top: &'a Path,
    /// First path of a hard-link group → the path that was made for it.
    links: HashMap<Arc<[u8]>, Vec<u8>>,
    /// Where files of the spool went.
    placed: HashMap<BlobDigest, Vec<u8>>,
    made: Vec<(Vec<u8>, Directory)>,
}

impl Builder<'_> {
    fn fill(&mut self, path: &[u8], directory: &Directory, entries: &Entries) -> Result<(), Error> {
        let handle = handles::open_directory(&self.root, path).while_doing("open", self.full(path))?;
        for (name, entry) in entries {
            let full = handles::join(path, name);
            self.make(&handle, name, &full, entry)?;
        }
        self.made.push((path.to_owned(), directory.clone()));
        Ok(())
    }

    fn make(&mut self, parent: &OwnedFd, name: &[u8], full: &[u8], entry: &Entry) -> Result<(), Error> {
        let node = match entry {
            Entry::Whiteout => {
                let made = rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0);
                return made.while_doing("create a whiteout at", self.full(full));
            }
            Entry::Node(node) => node,
        };
        match node {
            // Its metadata follow when everything in it exists.
            Node::Directory(_) => {
                rustix::fs::mkdirat(parent, name, Mode::RWXU).while_doing("create directory", self.full(full))
            }
            Node::File(file) => self.make_file(parent, name, full, file),
            Node::Symlink(symlink) => {
                rustix::fs::symlinkat(symlink.target.as_slice(), parent, name)
                    .while_doing("create symbolic link", self.full(full))?;
                self.finish_special(parent, name, full, node.metadata(), ModeOf::Link)
            }
            Node::Device(device) => {
                let (kind, number) = device_number(device);
                rustix::fs::mknodat(parent, name, kind, Mode::empty(), number)
                    .while_doing("create device", self.full(full))?;
                self.finish_special(parent, name, full, node.metadata(), ModeOf::Own)
            }
        }
    }

    fn make_file(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        full: &[u8],
        file: &farm_tree::File,
    ) -> Result<(), Error> {
        if let Some(first) = &file.hard_link {
            if let Some(made) = self.links.get(first) {
                let (directory, first_name) = handles::split(made);
                let directory =
                    handles::open_directory(&self.root, directory).while_doing("open", self.full(made))?;
                return rustix::fs::linkat(&directory, first_name, parent, name, AtFlags::empty())
                    .while_doing("link", self.full(full));
            }
            self.links.insert(Arc::clone(first), full.to_owned());
        }
        let handle = self.place_bytes(parent, name, full, &file.blob)?;
        finish_handle(&handle, &file.metadata).while_doing("set owner, mode and times of", self.full(full))
    }

    /// Makes a file with the bytes of `blob`.
    fn place_bytes(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        full: &[u8],
        blob: &BlobDigest,
    ) -> Result<File, Error> {
        if let Some(Spooled { path, .. }) = self.spool.and_then(|spool| spool.take(blob)) {
            rustix::fs::renameat(rustix::fs::CWD, &path, parent, name)
                .while_doing("move into place", &path)?;
            self.placed.insert(*blob, full.to_owned());
            return handles::open_file(parent, name).while_doing("open", self.full(full));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let mut to = File::from(created.while_doing("create", self.full(full))?);
        if blob.size == 0 {
            return Ok(to);
        }
        let Some(first) = self.placed.get(blob) else {
            self.store.copy_blob(blob, &mut to, &self.full(full))?;
            return Ok(to);
        };
        let from = handles::open_file(&self.root, first).while_doing("open", self.full(first))?;
        if !handles::share_bytes(&from, &to) {
            let copied = handles::copy_hashed(&from, 0, blob.size, &mut to);
            if *copied.while_doing("copy to", self.full(full))?.as_bytes() != blob.hash {
                return Err(Error::Corrupt(*blob));
            }
        }
        Ok(to)
    }

    /// Owner, mode and times of what cannot be opened without acting on it.
    fn finish_special(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        full: &[u8],
        metadata: &Metadata,
        mode: ModeOf,
    ) -> Result<(), Error> {
        let finish = || -> Result<(), Errno> {
            let (uid, gid) = owner(metadata);
            rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            if mode == ModeOf::Own {
                // Just made by us and no link, so there is nothing to follow.
                rustix::fs::chmodat(
                    parent,
                    name,
                    Mode::from_raw_mode(metadata.mode.into()),
                    AtFlags::empty(),
                )?;
            }
            if !metadata.xattrs.is_empty() {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = rustix::fs::openat(parent, ".", flags, Mode::empty())?;
                let path = handles::through_proc(&directory, name);
                for (key, value) in &metadata.xattrs {
                    rustix::fs::lsetxattr(path.as_slice(), key.as_slice(), value, XattrFlags::empty())?;
                }
            }
            rustix::fs::utimensat(parent, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)
        };
        finish().while_doing("set owner, mode and times of", self.full(full))
    }

    /// Children before parents, since a mode may take away the right to enter.
    fn finish_directories(&mut self) -> Result<(), Error> {
        while let Some((path, directory)) = self.made.pop() {
            let full = self.full(&path);
            let handle = handles::open_directory(&self.root, &path).while_doing("open", &full)?;
            if directory.opaque {
                set_opaque(&handle).while_doing("mark as opaque", &full)?;
            }
            finish_handle(&handle, &directory.metadata).while_doing("set owner, mode and times of", &full)?;
        }
        Ok(())
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        self.top.join(std::ffi::OsStr::from_bytes(path))
    }
}

/// Whether a special file has a mode that can be set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ModeOf {
    Own,
    Link,
}

/// In this order: a change of owner clears setuid and capabilities.
fn finish_handle(handle: impl rustix::fd::AsFd, metadata: &Metadata) -> Result<(), Errno> {
    let (uid, gid) = owner(metadata);
    rustix::fs::fchown(&handle, uid, gid)?;
    rustix::fs::fchmod(&handle, Mode::from_raw_mode(metadata.mode.into()))?;
    for (key, value) in &metadata.xattrs {
        rustix::fs::fsetxattr(&handle, key.as_slice(), value, XattrFlags::empty())?;
    }
    rustix::fs::futimens(&handle, &times(metadata.mtime))
}

fn owner(metadata: &Metadata) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(metadata.uid)), Some(Gid::from_raw(metadata.gid)))
}

fn device_number(device: &Device) -> (FileType, Dev) {
    match device.kind {
        DeviceKind::Character { major, minor } => {
            (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
        }
        DeviceKind::Block { major, minor } => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
        DeviceKind::Fifo => (FileType::Fifo, 0),
    }
}
