//! Unpacking into the temporary directory. Directories get their metadata later: their times change while they are
//! filled, and their modes may forbid it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use farm_tree::{DeviceKind, path};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, chmodat, linkat, makedev, mkdirat, mknodat, openat, symlinkat,
};
use rustix::io::Errno;

use super::{Directories, Root, attributes};
use crate::Error;
use crate::output::parts::Parts;
use crate::output::tar::{Kind, Member, TarReader};

/// Unpacks everything; gives the directories, parents first.
pub(super) fn unpack(root: &Root, parts: &mut Parts) -> Result<Directories, Error> {
    let mut stage = Stage { root, parent: None, directories: Vec::new() };
    let mut archive = TarReader::new(parts);
    while let Some(member) = archive.next()? {
        // The root's own metadata is left to whoever made the target.
        if !member.path.is_empty() {
            stage.member(&member, &mut archive)?;
        }
    }
    archive.finish()?;
    Ok(stage.directories)
}

struct Stage<'a> {
    root: &'a Root,
    /// The directory of the last entry: the next one mostly lies in it too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    directories: Directories,
}

impl Stage<'_> {
    fn member(&mut self, member: &Member, archive: &mut TarReader<&mut Parts>) -> Result<(), Error> {
        let full = &member.path[..];
        let name = path::name(full);
        self.enter(path::parent(full))?;
        let Some((_, parent)) = &self.parent else { return Ok(()) };
        let failed = |error: Errno| self.root.failed(full, error);
        match &member.kind {
            Kind::Directory => {
                mkdirat(parent, name, Mode::RWXU).map_err(failed)?;
                self.directories.push((full.to_vec(), member.metadata.clone()));
            }
            Kind::File => self.file(parent, name, member, archive)?,
            Kind::Symlink(target) => {
                symlinkat(&target[..], parent, name).map_err(failed)?;
                attributes::unopened(parent, name, &member.metadata).map_err(failed)?;
            }
            Kind::HardLink(first) => {
                let directory = self.root.directory(path::parent(first), OFlags::PATH)?;
                linkat(&directory, path::name(first), parent, name, AtFlags::empty()).map_err(failed)?;
            }
            Kind::Device(kind) => device(parent, name, member, *kind).map_err(failed)?,
        }
        Ok(())
    }

    fn enter(&mut self, directory: &[u8]) -> Result<(), Error> {
        if self.parent.as_ref().is_none_or(|(known, _)| known != directory) {
            self.parent = Some((directory.to_vec(), self.root.directory(directory, OFlags::PATH)?));
        }
        Ok(())
    }

    fn file(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        member: &Member,
        archive: &mut TarReader<&mut Parts>,
    ) -> Result<(), Error> {
        let failed = |error: Errno| self.root.failed(&member.path, error);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?);
        let shown = self.root.shown.join(path::text(&member.path));
        archive.copy(|content| io::copy(content, &mut file), Error::io("write", shown))?;
        attributes::opened(&file, &member.metadata).map_err(failed)
    }
}

fn device(parent: &OwnedFd, name: &[u8], member: &Member, kind: DeviceKind) -> Result<(), Errno> {
    let (kind, number) = match kind {
        DeviceKind::Fifo => (FileType::Fifo, 0),
        _ if !attributes::privileged() => {
            tracing::warn!(path = %path::absolute(&member.path), "a device node is left out: only root can make it");
            return Ok(());
        }
        DeviceKind::Character { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
        DeviceKind::Block { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
    };
    mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, number)?;
    attributes::unopened(parent, name, &member.metadata)?;
    // Nobody can have replaced it by a link that leads elsewhere but whoever may write here anyway.
    chmodat(parent, name, Mode::from_raw_mode(u32::from(member.metadata.mode)), AtFlags::empty())
}
