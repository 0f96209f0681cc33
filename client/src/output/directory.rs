//! A file system unpacked into a local directory.
//!
//! Everything is unpacked into a temporary directory on the same file system first, and moved when all of it came. What is
//! there is merged with: directories stay, files are replaced. Every parent is opened from a directory's own handle with
//! `RESOLVE_BENEATH` and without following symbolic links, so neither the archive nor what lies in the directory already
//! can lead a write outside. Owners and device nodes are made when the process may make them.

mod attributes;
mod merge;
mod stage;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use farm_tree::{Metadata, path};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::Error;
use crate::output::file::{beside, unique};
use crate::output::parts::Parts;

/// Unpacks the archive in `parts` into the directory `target`, which is made.
pub(super) fn unpack(target: &Path, parts: &mut Parts) -> Result<(), Error> {
    let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let existed = target.is_dir();
    let staged = Staged::create(&target, existed)?;
    let directories = stage::unpack(&Root::open(&staged.0, &target)?, parts)?;
    if !existed {
        // Taken back when somebody was faster.
        match fs::create_dir(&target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", &target)(error)),
        }
    }
    let root = Root::open(&target, &target)?;
    merge::merge(&Root::open(&staged.0, &target)?, &root, &directories)?;
    drop(staged);
    attributes::finish(&root, &directories)
}

/// A directory of the archive, as a tree path.
type Directories = Vec<(Vec<u8>, Metadata)>;

/// The temporary directory. Dropped, it vanishes with what is in it.
struct Staged(PathBuf);

impl Staged {
    /// Within the target where there is one, because what lies beside it may be another file system.
    fn create(target: &Path, existed: bool) -> Result<Self, Error> {
        let place = if existed {
            target.join(unique())
        } else {
            if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            beside(target)?
        };
        fs::create_dir(&place).map_err(Error::io("create", target))?;
        Ok(Self(place))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "an unfinished directory could not be removed");
        }
    }
}

/// A directory that everything below is reached from.
struct Root {
    handle: OwnedFd,
    /// What to call it in messages.
    shown: PathBuf,
}

impl Root {
    fn open(directory: &Path, shown: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, directory, flags, Mode::empty())
            .map_err(|error| Error::io("open", shown)(error.into()))?;
        Ok(Self { handle, shown: shown.to_owned() })
    }

    /// The directory at a tree path.
    fn directory(&self, directory: &[u8], access: OFlags) -> Result<OwnedFd, Error> {
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name: &[u8] = if directory.is_empty() { b"." } else { directory };
        let safe = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.handle, name, flags, Mode::empty(), safe).map_err(|error| self.failed(directory, error))
    }

    /// The error of something at a tree path.
    fn failed(&self, full: &[u8], error: Errno) -> Error {
        Error::io("write", self.shown.join(path::text(full)))(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::output::tar::tests::{archive, member};
    use crate::output::tar::{Kind, Member};

    fn whole(members: &[(Member, String)]) -> Parts {
        Parts::whole(archive(members))
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_links_modes_times_and_attributes_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("new/out");
        let mut file = member("a/file", Kind::File, "hello");
        file.0.metadata.mode = 0o4755;
        file.0.metadata.mtime = farm_tree::Mtime(1_000_000_000_000_000_000);
        let mut directory = member("a", Kind::Directory, "");
        directory.0.metadata.mode = 0o555;
        directory.0.metadata.mtime = farm_tree::Mtime(2_000_000_000_000_000_000);
        let members = [
            member("", Kind::Directory, ""),
            directory,
            file,
            member("b", Kind::HardLink(b"a/file".to_vec()), ""),
            member("c", Kind::Symlink(b"/etc/passwd".to_vec()), ""),
            member("d", Kind::Device(farm_tree::DeviceKind::Fifo), ""),
        ];
        unpack(&target, &mut whole(&members)).unwrap();
        assert_eq!(names(&target), ["a", "b", "c", "d"]);
        assert_eq!(names(&root.path().join("new")), ["out"]);
        let (a, b) = (fs::metadata(target.join("a/file")).unwrap(), fs::metadata(target.join("b")).unwrap());
        assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
        assert_eq!((a.permissions().mode() & 0o7777, a.mtime()), (0o4755, 1_000_000_000));
        let a = fs::metadata(target.join("a")).unwrap();
        assert_eq!((a.permissions().mode() & 0o7777, a.mtime()), (0o555, 2_000_000_000));
        assert_eq!(fs::read_link(target.join("c")).unwrap(), Path::new("/etc/passwd"));
    }

    #[test]
    fn what_is_there_is_merged_with() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/old"), "old").unwrap();
        fs::write(root.path().join("a/file"), "old").unwrap();
        fs::write(root.path().join("b"), "a file makes way for a directory").unwrap();
        let members = [
            member("a", Kind::Directory, ""),
            member("a/file", Kind::File, "new"),
            member("b", Kind::Directory, ""),
            member("b/x", Kind::File, "x"),
        ];
        unpack(root.path(), &mut whole(&members)).unwrap();
        assert_eq!(names(root.path()), ["a", "b"]);
        assert_eq!(names(&root.path().join("a")), ["file", "old"]);
        assert_eq!(fs::read(root.path().join("a/file")).unwrap(), b"new");
        assert_eq!(fs::read(root.path().join("b/x")).unwrap(), b"x");
    }

    #[test]
    fn a_link_in_the_directory_does_not_lead_a_write_outside() {
        let root = tempfile::tempdir().unwrap();
        let (target, outside) = (root.path().join("out"), root.path().join("outside"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink("../outside", target.join("a")).unwrap();
        let members = [member("a", Kind::Directory, ""), member("a/file", Kind::File, "x")];
        unpack(&target, &mut whole(&members)).unwrap();
        assert!(names(&outside).is_empty());
        assert_eq!(fs::read(target.join("a/file")).unwrap(), b"x");
        let members =
            [member("l", Kind::Symlink(b"../outside".to_vec()), ""), member("l/file", Kind::File, "x")];
        assert!(unpack(&target, &mut whole(&members)).is_err());
        assert!(names(&outside).is_empty());
    }

    #[test]
    fn a_file_system_that_stops_in_the_middle_leaves_what_was_there() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), "old").unwrap();
        let members = [member("a", Kind::File, "new"), member("b", Kind::File, "new")];
        let cut = |target: &Path| unpack(target, &mut Parts::cut_off(archive(&members)));
        assert!(matches!(cut(root.path()), Err(Error::Unfinished)));
        assert!(cut(&root.path().join("none")).is_err());
        assert_eq!(names(root.path()), ["a"]);
        assert_eq!(fs::read(root.path().join("a")).unwrap(), b"old");
    }
}
