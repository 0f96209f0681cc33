//! A file system written into a local directory.
//!
//! Every parent is opened from the directory's own handle with `RESOLVE_BENEATH` and without following symbolic links, so
//! neither the tree nor what lies in the directory already can lead a write outside. What is there is merged with:
//! directories stay, files are replaced. Owners and extended attributes are kept when the process may set them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farm_store::Store;
use farm_tree::{Device, DeviceKind, Entries, Entry, File, Metadata, Node, Records, Tree, path};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat,
    chownat, fchmod, fchown, fsetxattr, linkat, makedev, mkdirat, mknodat, openat, openat2, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::Error;

const NANOS: i64 = 1_000_000_000;

/// Writes the merged tree `tree` into the directory `target`, which is made.
pub fn write_directory(tree: &Tree, store: &Store, target: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(target).map_err(Error::io("create", target))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        openat(CWD, target, flags, Mode::empty()).map_err(|error| Error::io("open", target)(error.into()))?;
    let mut writer = Writer {
        store,
        root,
        target: target.to_owned(),
        privileged: rustix::process::geteuid().is_root(),
        linked: HashMap::new(),
        directories: Vec::new(),
    };
    writer.walk(tree)?;
    writer.finish_directories()
}

/// A file of a hard-link group, and the path at which it was written first.
type Written = (File, Vec<u8>);

struct Writer<'a> {
    store: &'a Store,
    root: OwnedFd,
    target: PathBuf,
    privileged: bool,
    /// By the path that names a hard-link group: files and where they were written first.
    linked: HashMap<Arc<[u8]>, Vec<Written>>,
    /// Directories get their metadata last: their times change while they are filled, and their modes may forbid it.
    directories: Vec<(Vec<u8>, Metadata)>,
}

impl Writer<'_> {
    fn walk(&mut self, tree: &Tree) -> Result<(), Error> {
        let mut pending: Vec<(Vec<u8>, Arc<Entries>)> =
            vec![(Vec::new(), self.store.entries(tree.root.record.digest)?)];
        while let Some((directory, entries)) = pending.pop() {
            let parent = self.open_directory(&directory)?;
            for (name, entry) in entries.iter() {
                let Entry::Node(node) = entry else {
                    continue;
                };
                let full = path::join(&directory, name);
                self.node(&parent, name, &full, node)?;
                if let Node::Directory(child) = node {
                    self.directories.push((full.clone(), child.metadata.clone()));
                    pending.push((full, self.store.entries(child.record.digest)?));
                }
            }
        }
        Ok(())
    }

    fn node(&mut self, parent: &OwnedFd, name: &[u8], full: &[u8], node: &Node) -> Result<(), Error> {
        let failed = |error: Errno| self.failed(full, error.into());
        if matches!(node, Node::Directory(_)) {
            return make_directory(parent, name).map_err(failed);
        }
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        match node {
            Node::Directory(_) => Ok(()),
            Node::File(file) => self.file(parent, name, full, file),
            Node::Symlink(symlink) => {
                symlinkat(&symlink.target[..], parent, name).map_err(failed)?;
                self.unopened(parent, name, &symlink.metadata).map_err(failed)
            }
            Node::Device(device) => self.device(parent, name, full, device),
        }
    }

    fn file(&mut self, parent: &OwnedFd, name: &[u8], full: &[u8], file: &File) -> Result<(), Error> {
        if let Some(group) = &file.hard_link {
            let known = self.linked.entry(Arc::clone(group)).or_default();
            if let Some((_, first)) = known.iter().find(|(other, _)| other == file) {
                let first = first.clone();
                let failed = |error: Errno| self.failed(full, error.into());
                let (first_parent, first_name) =
                    first.split_at(first.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                let directory = self.open_directory(first_parent)?;
                let first_name = first_name.strip_prefix(b"/").unwrap_or(first_name);
                return linkat(&directory, first_name, parent, name, AtFlags::empty()).map_err(failed);
            }
            known.push((file.clone(), full.to_vec()));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| self.failed(full, error.into()))?;
        let mut output = std::fs::File::from(opened);
        let mut blob = self.store.open_verified(&file.blob)?;
        io::copy(&mut blob, &mut output)
            .map_err(Error::copying("write", self.target.join(path::text(full))))?;
        self.opened(&output, &file.metadata).map_err(|error| self.failed(full, error.into()))
    }

    fn device(&self, parent: &OwnedFd, name: &[u8], full: &[u8], device: &Device) -> Result<(), Error> {
        let failed = |error: Errno| self.failed(full, error.into());
        let (kind, number) = match device.kind {
            DeviceKind::Fifo => (FileType::Fifo, 0),
            _ if !self.privileged => {
                tracing::warn!(path = %path::absolute(full), "a device node is left out: only root can make it");
                return Ok(());
            }
            DeviceKind::Character { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
            DeviceKind::Block { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
        };
        mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, number).map_err(failed)?;
        self.unopened(parent, name, &device.metadata).map_err(failed)?;
        // Nobody can have replaced it by a link that leads elsewhere but whoever may write here anyway.
        chmodat(parent, name, Mode::from_raw_mode(u32::from(device.metadata.mode)), AtFlags::empty())
            .map_err(failed)
    }

    fn finish_directories(&mut self) -> Result<(), Error> {
        let directories = std::mem::take(&mut self.directories);
        for (full, metadata) in directories.iter().rev() {
            let directory = self.open_directory(full)?;
            // A handle that was opened with O_PATH cannot change anything.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat(&directory, ".", flags, Mode::empty())
                .map_err(|error| self.failed(full, error.into()))?;
            self.opened(&opened, metadata).map_err(|error| self.failed(full, error.into()))?;
        }
        Ok(())
    }

    /// Owner, attributes, mode and time of something that is open.
    fn opened(&self, file: impl AsFd, metadata: &Metadata) -> Result<(), Errno> {
        let file = file.as_fd();
        if self.privileged {
            fchown(file, Some(Uid::from_raw(metadata.uid)), Some(Gid::from_raw(metadata.gid)))?;
        }
        for (name, value) in &metadata.xattrs {
            match fsetxattr(file, &name[..], value, XattrFlags::empty()) {
                // What the file system or the user cannot have is left out, as every unpacker does.
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
                Err(error) => return Err(error),
            }
        }
        fchmod(file, Mode::from_raw_mode(u32::from(metadata.mode)))?;
        rustix::fs::futimens(file, &times(metadata))
    }

    /// Owner and time of something that must not be opened.
    fn unopened(&self, parent: &OwnedFd, name: &[u8], metadata: &Metadata) -> Result<(), Errno> {
        if self.privileged {
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        utimensat(parent, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn open_directory(&self, directory: &[u8]) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name: &[u8] = if directory.is_empty() { b"." } else { directory };
        let safe = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, name, flags, Mode::empty(), safe)
            .map_err(|error| self.failed(directory, error.into()))
    }

    fn failed(&self, full: &[u8], error: io::Error) -> Error {
        Error::io("write", &self.target.join(path::text(full)))(error)
    }
}

/// A directory that is there stays; anything else makes way.
fn make_directory(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => return Ok(()),
        Ok(_) => unlinkat(parent, name, AtFlags::empty())?,
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    mkdirat(parent, name, Mode::RWXU)
}

fn times(metadata: &Metadata) -> Timestamps {
    let nanos = metadata.mtime.0;
    let time = Timespec { tv_sec: nanos.div_euclid(NANOS), tv_nsec: nanos.rem_euclid(NANOS) };
    Timestamps { last_access: time, last_modification: time }
}
