//! What the mounts of a step show, as detached mounts, whoever attaches them. They are put together on a workbench: a file system in
//! memory that this process alone sees.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};

use super::{Request, internal};
use crate::mounts::{Root, attach_to, copy_of, copy_of_host, filesystem, make_read_only};
use crate::spec::{Failure, MountKindSpec, MountSpec, Spec};
use crate::{Access, Blame};

pub(super) const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
pub(super) const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
pub(super) const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;

/// The empty directory of a workbench where things are looked into for a moment.
pub(super) const STAGE: &str = "stage";

/// The files that every container has over those of its image, and where they go.
pub(super) fn generated(bench: &Path, spec: &Spec) -> Result<[(&'static str, OwnedFd); 2], Failure> {
    let file = |name: &str, content: &str| {
        let path = bench.join(name);
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
            .and_then(|()| Ok(copy_of_host(&path)?))
            .map_err(|e| Failure::environment("provide a generated file", e))
    };
    Ok([
        ("/etc/hosts", file("hosts", &spec.hosts)?),
        ("/etc/resolv.conf", file("resolv.conf", &spec.resolv_conf)?),
    ])
}

/// What a mount of the step shows.
pub(super) fn detached(bench: &Path, mount: &MountSpec, request: &Request) -> Result<OwnedFd, Failure> {
    let stage = bench.join(STAGE);
    match &mount.kind {
        MountKindSpec::Whole { mount } => {
            let fd = request.fd(*mount)?.try_clone_to_owned();
            fd.map_err(|e| internal("keep a mount", e))
        }
        MountKindSpec::Part { mount, subpath, access } => part(&stage, request, *mount, subpath, *access),
        MountKindSpec::Tmpfs { size, mode } => {
            let (mode, size) = (format!("{:o}", mode & 0o7777), size.map(|bytes| bytes.to_string()));
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            filesystem("tmpfs", &options, NOSUID)
        }
        MountKindSpec::SecretFile { frame, mode, uid, gid } => {
            let content = request.frames.get(*frame).map_or(&[][..], Vec::as_slice);
            secret(&stage, content, *mode, *uid, *gid)
        }
    }
}

/// A path of a detached mount, which is attached for a moment, as older kernels do not look into detached ones.
fn part(
    stage: &Path,
    request: &Request,
    mount: usize,
    subpath: &str,
    access: Access,
) -> Result<OwnedFd, Failure> {
    let failed =
        |e: Errno| Failure::new(Blame::User, format!("find `{subpath}` in the source of a mount"), e);
    let internal = |e: Errno| internal("use the stage", e);
    let mount = request.fd(mount)?;
    let place = Root::open(stage).map_err(internal)?;
    attach_to(mount, place.fd()).map_err(failed)?;
    let find = || {
        let top = Root::open(stage)?;
        copy_of(top.resolve(if subpath.is_empty() { "/" } else { subpath }, OFlags::PATH)?)
    };
    let tree = find();
    unmount(stage, UnmountFlags::DETACH).map_err(internal)?;
    let tree = tree.map_err(failed)?;
    if access == Access::ReadOnly {
        make_read_only(&tree).map_err(|e| Failure::environment("make a mount read-only", e))?;
    }
    Ok(tree)
}

/// A file on a file system of its own that is never swapped out, which a tmpfs could be.
fn secret(stage: &Path, content: &[u8], mode: u32, uid: u32, gid: u32) -> Result<OwnedFd, Failure> {
    let failed = |e: std::io::Error| Failure::environment("provide a secret", e);
    let memory = filesystem("ramfs", &[("mode", "700")], NOSUID | NOEXEC | NODEV)?;
    let place = Root::open(stage).map_err(|e| failed(e.into()))?;
    attach_to(&memory, place.fd()).map_err(|e| failed(e.into()))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&memory, "secret", flags, Mode::from_raw_mode(0o600))
        .map_err(|e| failed(e.into()))?;
    let mut file = File::from(file);
    file.write_all(content).map_err(failed)?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
    file.set_permissions(fs::Permissions::from_mode(mode & 0o7777)).map_err(failed)?;
    let copy = copy_of(&file).map_err(|e| failed(e.into()))?;
    make_read_only(&copy).map_err(failed)?;
    unmount(stage, UnmountFlags::DETACH).map_err(|e| failed(e.into()))?;
    Ok(copy)
}
