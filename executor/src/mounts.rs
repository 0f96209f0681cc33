//! Detached mounts, and the one way to attach them: to a path resolved inside the container's root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::Blame;
use crate::spec::Failure;
use crate::sys;

/// What a mount target has to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TargetKind {
    Directory,
    File,
}

impl TargetKind {
    /// The kind of target that a detached mount fits.
    pub(crate) fn of(mount: &OwnedFd) -> Result<Self, Errno> {
        let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(mount)?.st_mode);
        Ok(if kind.is_dir() { Self::Directory } else { Self::File })
    }
}

/// The container's root while it is being built.
pub(crate) struct Root {
    fd: OwnedFd,
}

const CONFINED: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Moves what is mounted at `source`, with all that is mounted below it, to a directory of ours that must not be redirected by the image.
    pub(crate) fn move_strictly(&self, source: &str, target: &str) -> Result<(), Failure> {
        let failed = |e: Errno| Failure::environment(format!("mount at `{target}`"), e);
        let place = self.own_directory(target)?;
        move_mount(CWD, source, &place, "", MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH).map_err(failed)
    }

    /// Opens a path inside, with the root as `/`.
    pub(crate) fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), CONFINED)
    }

    /// Attaches to `target`, which is made if it does not exist.
    pub(crate) fn attach(&self, mount: &OwnedFd, target: &str) -> Result<(), Failure> {
        attach_at(mount, &self.place_for(mount, target)?, target)
    }

    /// Opens `target`, which is made if it does not exist, as what fits `mount`.
    pub(crate) fn place_for(&self, mount: &OwnedFd, target: &str) -> Result<OwnedFd, Failure> {
        let failed = |e: Errno| Failure::new(Blame::User, format!("mount at `{target}`"), e);
        let kind = TargetKind::of(mount).map_err(failed)?;
        self.target(target, kind).map_err(failed)
    }

    /// Attaches to a directory of ours that must not be redirected by the image, such as `/proc`.
    pub(crate) fn attach_strictly(&self, mount: &OwnedFd, target: &str) -> Result<(), Failure> {
        let failed = |e: Errno| Failure::environment(format!("mount at `{target}`"), e);
        attach_to(mount, &self.own_directory(target)?).map_err(failed)
    }

    /// Opens a directory without following links, and makes it if it is missing.
    pub(crate) fn own_directory(&self, path: &str) -> Result<OwnedFd, Failure> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let strict = CONFINED | ResolveFlags::NO_SYMLINKS;
        let open = || openat2(&self.fd, path, flags, Mode::empty(), strict);
        let place = match open() {
            Err(Errno::NOENT) => mkdirat(&self.fd, path.trim_start_matches('/'), Mode::from_raw_mode(0o755))
                .and_then(|()| open()),
            other => other,
        };
        place.map_err(|e| {
            let blame =
                if matches!(e, Errno::LOOP | Errno::NOTDIR) { Blame::User } else { Blame::Environment };
            Failure::new(blame, format!("mount at `{path}`, which must be a directory in the image"), e)
        })
    }

    /// Opens `path`, making what is missing of it. Every prefix is resolved from the root again, so that a symlink on the way
    /// is followed inside the root and a path that changes under our hands cannot lead out of it.
    fn target(&self, path: &str, kind: TargetKind) -> Result<OwnedFd, Errno> {
        match self.resolve(path, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let mut parent = self.resolve("/", OFlags::PATH)?;
        let mut prefix = String::new();
        for (index, part) in parts.iter().enumerate() {
            prefix.push('/');
            prefix.push_str(part);
            let is_file = index + 1 == parts.len() && kind == TargetKind::File;
            parent = match self.resolve(&prefix, OFlags::PATH) {
                Err(Errno::NOENT) => {
                    make(&parent, part, is_file)?;
                    self.resolve(&prefix, OFlags::PATH)?
                }
                other => other?,
            };
        }
        Ok(parent)
    }
}

/// Attaches to a place that was opened as `target`.
pub(crate) fn attach_at(mount: &OwnedFd, place: &OwnedFd, target: &str) -> Result<(), Failure> {
    attach_to(mount, place).map_err(|e| Failure::new(Blame::User, format!("mount at `{target}`"), e))
}

/// Attaches to a place that was opened before.
pub(crate) fn attach_to(mount: impl AsFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

fn make(parent: &OwnedFd, name: &str, is_file: bool) -> Result<(), Errno> {
    if is_file {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    } else {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))
    }
}

/// A new file system, not attached anywhere. An empty value stands for an option without one.
pub(crate) fn filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Failure> {
    let failed = |e: Errno| Failure::environment(format!("make a `{kind}` file system"), e);
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed)?;
    for (option, value) in [("source", kind)].iter().chain(options) {
        let set = if value.is_empty() {
            fsconfig_set_flag(&context, *option)
        } else {
            fsconfig_set_string(&context, *option, *value)
        };
        set.map_err(failed)?;
    }
    fsconfig_create(&context).map_err(failed)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)
}

/// A detached copy of what is at a path of the host, with everything mounted below it.
pub(crate) fn copy_of_host(path: &Path) -> Result<OwnedFd, Errno> {
    open_tree(
        CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE,
    )
}

/// A detached copy of what an open file or directory shows.
pub(crate) fn copy_of(place: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(place, "", flags)
}

/// Makes a detached mount, and what is mounted below it, read-only.
pub(crate) fn make_read_only(mount: &OwnedFd) -> std::io::Result<()> {
    sys::set_mount_attributes(mount, libc::MOUNT_ATTR_RDONLY)
}

/// Keeps device nodes in a mount from working.
pub(crate) fn forbid_devices(mount: &OwnedFd) -> std::io::Result<()> {
    sys::set_mount_attributes(mount, libc::MOUNT_ATTR_NODEV)
}
