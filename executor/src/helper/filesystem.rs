//! What the container sees: its root, `/proc`, `/sys`, `/dev`, the mounts of the step, and what is hidden from it.
//!
//! Everything happens in the container's own mount namespace, whose mounts are made private first. What does not depend on the step is put together
//! on a workbench, a file system in memory that takes the place of the host's; what does is attached when it is known, and
//! the last act is to make the container's root the only one.

pub(super) mod hidden;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, makedev, mkdirat, mknodat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};

use super::sources::{self, NODEV, NOEXEC, NOSUID, STAGE};
use super::{Request, internal};
use crate::Container;
use crate::cgroup::{Devices, View};
use crate::mounts::{Root, attach_to, copy_of_host, filesystem, forbid_devices};
use crate::spec::{Failure, Settings};

/// Where shared memory is.
const SHM: &str = "/dev/shm";
/// Where the workbench has the container's root.
const ROOT: &str = "/root";
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
    let bench = Path::new("/");
    for (target, file) in sources::generated(bench, spec)? {
        root.attach(&file, target)?;
    }
    for mount in &spec.mounts {
        let detached = sources::detached(bench, mount, request)?;
        forbid(&detached)?;
        root.attach(&detached, &mount.target)?;
    }
    hidden::hide_in_sys(&root, Path::new(NULL), &settings.masked)?;
    enter(&root)
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
        // As runtimes do: not every kernel has it.
        if name == "core" && !Path::new(target).exists() {
            continue;
        }
        symlinkat(target, dev, name)?;
    }
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}

/// Makes `root` the root of this process and lets go of the old one.
fn enter(root: &Root) -> Result<(), Failure> {
    let failed = |e: Errno| Failure::environment("enter the root", e);
    rustix::process::fchdir(root.fd()).map_err(failed)?;
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}
