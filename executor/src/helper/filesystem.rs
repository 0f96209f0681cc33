//! What the container sees: its root, `/proc`, `/sys`, `/dev`, the mounts of the step, and what is hidden from it.
//!
//! Everything happens in the container's own mount namespace, whose mounts are made private first. What does not depend on the step is put together
//! on a workbench, a file system in memory that takes the place of the host's; what does is attached when it is known, and
//! the last act is to make the container's root the only one.

mod hidden;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, makedev, mkdirat, mknodat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};

use super::{Request, internal};
use crate::cgroup::{Devices, View};
use crate::mounts::{Root, attach_to, copy_of, copy_of_host, filesystem, forbid_devices, make_read_only};
use crate::spec::{Failure, MountKindSpec, MountSpec, Settings};
use crate::{Access, Blame, Container};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
/// Where shared memory is.
const SHM: &str = "/dev/shm";
/// Where the workbench has the container's root, and what is looked into for a moment.
const ROOT: &str = "/root";
const STAGE: &str = "/stage";
/// Covers files; not `/dev/null`, as that moves.
const NULL: &str = "/null";

/// Makes the workbench the root: `/proc` and `/dev` as they will be, and nothing of the host.
pub(super) fn prepare(settings: &Settings) -> Result<(), Failure> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|e| Failure::environment("make mounts private", e))?;
    let failed = |e: std::io::Error| Failure::environment("prepare the root", e);
    let path = settings.workbench.as_path();
    mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755"))
        .map_err(|e| failed(e.into()))?;
    for directory in [ROOT, STAGE, "/proc", "/dev"] {
        fs::create_dir(path.join(directory.trim_start_matches('/'))).map_err(failed)?;
    }
    let null = copy_of_host(Path::new("/dev/null")).map_err(|e| failed(e.into()))?;
    let root = Root::open(path).map_err(|e| internal("open the root", e))?;
    root.attach_strictly(&filesystem("proc", &[], NOSUID | NOEXEC | NODEV)?, "/proc")?;
    mount_dev(&root, settings.devices)?;
    root.attach(&null, NULL)?;
    hidden::hide_in_proc(&root, &path.join(NULL.trim_start_matches('/')))?;
    enter(&root)
}

/// Builds the container's file system and makes it the root of this process.
pub(super) fn finish(settings: &Settings, view: View, request: &Request) -> Result<(), Failure> {
    let spec = &request.spec;
    let failed = |e: Errno| Failure::environment("attach the root", e);
    let place = Root::open(Path::new(ROOT)).map_err(failed)?;
    attach_to(request.fd(spec.root)?, place.fd()).map_err(failed)?;
    let root = Root::open(Path::new(ROOT)).map_err(failed)?;
    let forbid = |mount: &OwnedFd| match settings.devices {
        Devices::NoDeviceMounts => {
            forbid_devices(mount).map_err(|e| Failure::environment("forbid devices", e))
        }
        Devices::Controlled => Ok(()),
    };
    forbid(root.fd())?;
    root.move_strictly("/proc", "/proc")?;
    let sys = filesystem("sysfs", &[], NOSUID | NOEXEC | NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    root.attach_strictly(&sys, "/sys")?;
    if view == View::Unified {
        let view = filesystem("cgroup2", &[], NOSUID | NOEXEC | NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY);
        // A step does without it.
        let _unseen = view.and_then(|view| root.attach_strictly(&view, "/sys/fs/cgroup"));
    }
    resize_shared_memory(request)?;
    root.move_strictly("/dev", "/dev")?;
    for (path, content, target) in
        [("/hosts", &spec.hosts, "/etc/hosts"), ("/resolv.conf", &spec.resolv_conf, "/etc/resolv.conf")]
    {
        root.attach(&generated_file(path, content)?, target)?;
    }
    for mount in &spec.mounts {
        let detached = detached(mount, request)?;
        forbid(&detached)?;
        root.attach(&detached, &mount.target)?;
    }
    hidden::hide_in_sys(&root, Path::new(NULL), &settings.masked)?;
    enter(&root)
}

fn generated_file(path: &str, content: &str) -> Result<OwnedFd, Failure> {
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)))
        .and_then(|()| Ok(copy_of_host(Path::new(path))?))
        .map_err(|e| Failure::environment("provide a generated file", e))
}

/// Puts `/dev` together.
fn mount_dev(root: &Root, devices: Devices) -> Result<(), Failure> {
    let mut flags = NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    if devices == Devices::NoDeviceMounts {
        flags |= NODEV;
    }
    let dev = filesystem("tmpfs", &[("mode", "755"), ("size", "65536k")], flags)?;
    fill_dev(&dev, devices).map_err(|e| Failure::environment("fill `/dev`", e))?;
    root.attach_strictly(&dev, "/dev")?;
    let pts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    root.attach_strictly(&filesystem("devpts", &pts, NOSUID | NOEXEC)?, "/dev/pts")?;
    root.attach_strictly(&shared_memory(Container::DEFAULT_SHM_SIZE)?, SHM)?;
    root.attach_strictly(&filesystem("mqueue", &[], NOSUID | NOEXEC | NODEV)?, "/dev/mqueue")?;
    if devices == Devices::NoDeviceMounts {
        for (name, ..) in DEVICES {
            let node = copy_of_host(&Path::new("/dev").join(name));
            let node = node.map_err(|e| Failure::environment(format!("borrow `/dev/{name}`"), e))?;
            root.attach(&node, &format!("/dev/{name}"))?;
        }
    }
    Ok(())
}

fn shared_memory(size: u64) -> Result<OwnedFd, Failure> {
    let size = size.to_string();
    filesystem("tmpfs", &[("mode", "1777"), ("size", &size)], NOSUID | NOEXEC | NODEV)
}

/// Replaces the default shared memory when the step wants another; a mount of the step's own takes its place.
fn resize_shared_memory(request: &Request) -> Result<(), Failure> {
    let spec = &request.spec;
    let own = spec.mounts.iter().any(|mount| mount.target == SHM);
    if own || spec.shm_size != Container::DEFAULT_SHM_SIZE {
        unmount(SHM, UnmountFlags::DETACH).map_err(|e| internal("replace `/dev/shm`", e))?;
    }
    if !own && spec.shm_size != Container::DEFAULT_SHM_SIZE {
        let here = Root::open(Path::new("/")).map_err(|e| internal("open the workbench", e))?;
        here.attach_strictly(&shared_memory(spec.shm_size)?, SHM)?;
    }
    Ok(())
}

/// Name, major and minor number of the devices that every container has.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const DEV_LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

fn fill_dev(dev: &OwnedFd, devices: Devices) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(0o666);
    for (name, major, minor) in DEVICES {
        match devices {
            Devices::Controlled => {
                mknodat(dev, name, FileType::CharacterDevice, mode, makedev(major, minor))?;
            }
            Devices::NoDeviceMounts => mknodat(dev, name, FileType::RegularFile, mode, 0)?,
        }
    }
    for (name, target) in DEV_LINKS {
        symlinkat(target, dev, name)?;
    }
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}

/// What a mount of the step shows.
fn detached(mount: &MountSpec, request: &Request) -> Result<OwnedFd, Failure> {
    match &mount.kind {
        MountKindSpec::Whole { mount } => {
            let fd = request.fd(*mount)?.try_clone_to_owned();
            fd.map_err(|e| internal("keep a mount", e))
        }
        MountKindSpec::Part { mount, subpath, access } => part(request, *mount, subpath, *access),
        MountKindSpec::Tmpfs { size, mode } => {
            let (mode, size) = (format!("{:o}", mode & 0o7777), size.map(|bytes| bytes.to_string()));
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            filesystem("tmpfs", &options, NOSUID)
        }
        MountKindSpec::SecretFile { frame, mode, uid, gid } => {
            let content = request.frames.get(*frame).map_or(&[][..], Vec::as_slice);
            secret(content, *mode, *uid, *gid)
        }
    }
}

/// A path of a detached mount, which is attached for a moment, as older kernels do not look into detached ones.
fn part(request: &Request, mount: usize, subpath: &str, access: Access) -> Result<OwnedFd, Failure> {
    let failed =
        |e: Errno| Failure::new(Blame::User, format!("find `{subpath}` in the source of a mount"), e);
    let internal = |e: Errno| internal("use the stage", e);
    let mount = request.fd(mount)?;
    let stage = Root::open(Path::new(STAGE)).map_err(internal)?;
    attach_to(mount, stage.fd()).map_err(failed)?;
    let find = || {
        let top = Root::open(Path::new(STAGE))?;
        copy_of(top.resolve(if subpath.is_empty() { "/" } else { subpath }, OFlags::PATH)?)
    };
    let tree = find();
    unmount(STAGE, UnmountFlags::DETACH).map_err(internal)?;
    let tree = tree.map_err(failed)?;
    if access == Access::ReadOnly {
        make_read_only(&tree).map_err(|e| Failure::environment("make a mount read-only", e))?;
    }
    Ok(tree)
}

/// A file on a file system of its own that is never swapped out, which a tmpfs could be.
fn secret(content: &[u8], mode: u32, uid: u32, gid: u32) -> Result<OwnedFd, Failure> {
    let failed = |e: std::io::Error| Failure::environment("provide a secret", e);
    let memory = filesystem("ramfs", &[("mode", "700")], NOSUID | NOEXEC | NODEV)?;
    let place = Root::open(Path::new(STAGE)).map_err(|e| failed(e.into()))?;
    attach_to(&memory, place.fd()).map_err(|e| failed(e.into()))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&memory, "secret", flags, Mode::from_raw_mode(0o600))
        .map_err(|e| failed(e.into()))?;
    let mut file = File::from(file);
    file.write_all(content).map_err(failed)?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode & 0o7777)).map_err(failed)?;
    let copy = copy_of(&file).map_err(|e| failed(e.into()))?;
    make_read_only(&copy).map_err(failed)?;
    unmount(STAGE, UnmountFlags::DETACH).map_err(|e| failed(e.into()))?;
    Ok(copy)
}

/// Makes `root` the root of this process and lets go of the old one.
fn enter(root: &Root) -> Result<(), Failure> {
    let failed = |e: Errno| Failure::environment("enter the root", e);
    rustix::process::fchdir(root.fd()).map_err(failed)?;
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}
