//! Deletes what was thrown away.
//!
//! A step may leave directories nested deeper than there are file descriptors or stack, so the depth of the walk is
//! bounded: what lies deeper is first moved up to the top of the trash. A mount that a dead process left is never
//! entered.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

const MAX_DEPTH: usize = 64;

/// Removes everything in `trash`. What cannot be removed stays for the next time and is logged.
pub(crate) fn empty(trash: &Path) {
    // Moved-up directories appear while the trash is read, so it is read until a pass finds nothing new to do.
    while let Ok(Progress::MovedUp) = pass(trash).inspect_err(|error| {
        tracing::warn!(path = %trash.display(), %error, "cannot empty the trash");
    }) {}
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Done,
    MovedUp,
}

fn pass(trash: &Path) -> io::Result<Progress> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let top = rustix::fs::openat(CWD, trash, flags, Mode::empty())?;
    let mut sweeper = Sweeper { top: &top, moved: 0 };
    for entry in fs::read_dir(trash)? {
        let entry = entry?;
        let name = entry.file_name();
        let removed = sweeper.remove(top.as_fd(), rustix::path::Arg::into_c_str(&*name)?.as_ref(), 0);
        if let Err(error) = removed {
            tracing::warn!(path = %entry.path().display(), %error, "cannot delete");
        }
    }
    Ok(if sweeper.moved > 0 { Progress::MovedUp } else { Progress::Done })
}

struct Sweeper<'a> {
    top: &'a OwnedFd,
    moved: u64,
}

impl Sweeper<'_> {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &std::ffi::CStr, depth: usize) -> io::Result<()> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        if depth >= MAX_DEPTH {
            return self.move_up(parent, name);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        let directory = rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                self.remove(directory.as_fd(), entry.file_name(), depth + 1)?;
            } else {
                rustix::fs::unlinkat(&directory, entry.file_name(), AtFlags::empty())?;
            }
        }
        rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?;
        Ok(())
    }

    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<()> {
        loop {
            let to = format!("deep-{}-{}", std::process::id(), self.moved);
            self.moved += 1;
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(parent, name, self.top, to.as_str(), flags) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_nested_deeper_than_there_are_descriptors_are_deleted() {
        let top = tempfile::tempdir().unwrap();
        let old = top.path().join("old-0");
        fs::create_dir(&old).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::openat(CWD, &old, flags, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        empty(top.path());
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
    }
}
