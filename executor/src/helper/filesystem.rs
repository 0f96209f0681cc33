//! What the container sees: its root, `/proc`, `/sys`, `/dev`, the mounts of the step, and what is hidden from it.
//!
//! Everything happens in the container's own mount namespace, whose mounts are made private first. Its last act is to make the new root the only one.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, makedev, mkdirat, mknodat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};

use super::mounts::{
    Root, TargetKind, attach_to, copy_of, copy_of_host, filesystem, forbid_devices, make_read_only,
};
use super::overlay::{self, Upper};
use super::{Request, internal};
use crate::cgroup::{Devices, View};
use crate::container::OverlayAccess;
use crate::network::OPEN_SWITCHES;
use crate::spec::{Failure, MountKindSpec, MountSpec, NetworkSpec, Spec};
use crate::{Access, Blame};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
/// Where shared memory is.
const SHM: &str = "/dev/shm";
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;

/// Builds the container's file system and makes it the root of this process.
pub(super) fn set_up(request: &Request) -> Result<(), Failure> {
    let spec = &request.spec;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|e| Failure::environment("make mounts private", e))?;
    let workbench = Workbench::set_up(spec).map_err(|e| Failure::environment("prepare the root", e))?;
    let path = workbench.path("root");
    overlay::mount_at(&path, &spec.lowers, Some(&Upper { upper: &spec.upper, work: &spec.work }))?;
    let root = Root::open(&path).map_err(|e| internal("open the root", e))?;
    if spec.devices == Devices::NoDeviceMounts {
        forbid_devices(root.fd()).map_err(|e| Failure::environment("forbid devices", e))?;
    }
    mount_kernel_interfaces(&root, spec)?;
    for (name, target) in [("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")] {
        let file = copy_of_host(&workbench.path(name)).map_err(|e| internal("find a generated file", e))?;
        root.attach(&file, target)?;
    }
    for mount in &spec.mounts {
        attach(&root, mount, request, &workbench.path("stage"))?;
    }
    set_kernel_parameters(&root, spec);
    hide(&root, spec)?;
    enter(&root)
}

/// A file system in memory that only this mount namespace sees, with the mount points `root` and `stage` and the files `hosts` and `resolv.conf`.
struct Workbench<'a> {
    path: &'a Path,
}

impl<'a> Workbench<'a> {
    fn set_up(spec: &'a Spec) -> std::io::Result<Self> {
        let workbench = Self { path: &spec.workbench };
        mount("tmpfs", workbench.path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755"))?;
        for directory in ["root", "stage"] {
            fs::create_dir(workbench.path(directory))?;
        }
        for (name, content) in [("hosts", &spec.hosts), ("resolv.conf", &spec.resolv_conf)] {
            fs::write(workbench.path(name), content)?;
            fs::set_permissions(workbench.path(name), fs::Permissions::from_mode(0o644))?;
        }
        Ok(workbench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn mount_kernel_interfaces(root: &Root, spec: &Spec) -> Result<(), Failure> {
    root.attach_strictly(&filesystem("proc", &[], NOSUID | NOEXEC | NODEV)?, "/proc")?;
    let sys = filesystem("sysfs", &[], NOSUID | NOEXEC | NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    root.attach_strictly(&sys, "/sys")?;
    if spec.cgroup_view == View::Unified {
        let view = filesystem("cgroup2", &[], NOSUID | NOEXEC | NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY);
        // A step does without it.
        let _unseen = view.and_then(|view| root.attach_strictly(&view, "/sys/fs/cgroup"));
    }
    let mut flags = NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    if spec.devices == Devices::NoDeviceMounts {
        flags |= NODEV;
    }
    let dev = filesystem("tmpfs", &[("mode", "755"), ("size", "65536k")], flags)?;
    fill_dev(&dev, spec.devices).map_err(|e| Failure::environment("fill `/dev`", e))?;
    root.attach_strictly(&dev, "/dev")?;
    let pts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    root.attach_strictly(&filesystem("devpts", &pts, NOSUID | NOEXEC)?, "/dev/pts")?;
    // A mount of the step's own takes the place of the default one.
    if !spec.mounts.iter().any(|mount| mount.target == SHM) {
        let size = spec.shm_size.to_string();
        let shm = filesystem("tmpfs", &[("mode", "1777"), ("size", &size)], NOSUID | NOEXEC | NODEV)?;
        root.attach_strictly(&shm, SHM)?;
    }
    root.attach_strictly(&filesystem("mqueue", &[], NOSUID | NOEXEC | NODEV)?, "/dev/mqueue")?;
    if spec.devices == Devices::NoDeviceMounts {
        for (name, ..) in DEVICES {
            let node = copy_of_host(&Path::new("/dev").join(name));
            let node = node.map_err(|e| Failure::environment(format!("borrow `/dev/{name}`"), e))?;
            root.attach(&node, &format!("/dev/{name}"))?;
        }
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

fn attach(root: &Root, mount: &MountSpec, request: &Request, stage: &Path) -> Result<(), Failure> {
    let spec = &request.spec;
    let detached = match &mount.kind {
        MountKindSpec::Bind { source, access } => {
            let action = || format!("bind `{}`", source.display());
            let tree = copy_of_host(source).map_err(|e| Failure::environment(action(), e))?;
            if *access == Access::ReadOnly {
                make_read_only(&tree).map_err(|e| Failure::environment(action(), e))?;
            }
            tree
        }
        MountKindSpec::Overlay { lowers, subpath, access } => stacked(stage, lowers, subpath, access)?,
        MountKindSpec::Tmpfs { size, mode } => {
            let (mode, size) = (format!("{:o}", mode & 0o7777), size.map(|bytes| bytes.to_string()));
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            filesystem("tmpfs", &options, NOSUID)?
        }
        MountKindSpec::SecretFile { frame, mode, uid, gid } => {
            let content = request.frames.get(*frame).map_or(&[][..], Vec::as_slice);
            secret(stage, content, *mode, *uid, *gid)?
        }
    };
    if spec.devices == Devices::NoDeviceMounts {
        forbid_devices(&detached).map_err(|e| Failure::environment("forbid devices", e))?;
    }
    root.attach(&detached, &mount.target)
}

/// A path of a stack of layers. The stack is mounted at `stage` for a moment, as older kernels do not look into detached mounts.
fn stacked(
    stage: &Path,
    lowers: &[PathBuf],
    subpath: &str,
    access: &OverlayAccess,
) -> Result<OwnedFd, Failure> {
    let failed =
        |e: Errno| Failure::new(Blame::User, format!("find `{subpath}` in the source of a mount"), e);
    let find = |top: &Path| {
        let top = Root::open(top).map_err(failed)?;
        let place =
            top.resolve(if subpath.is_empty() { "/" } else { subpath }, OFlags::PATH).map_err(failed)?;
        copy_of(&place).map_err(failed)
    };
    let upper = match access {
        OverlayAccess::ReadOnly => None,
        OverlayAccess::Discard { upper, work } => Some(Upper { upper, work }),
    };
    let tree = if let (None, [only]) = (&upper, lowers) {
        // overlayfs refuses a single layer without an upper one, and is not needed for it.
        find(only)?
    } else {
        overlay::mount_at(stage, lowers, upper.as_ref())?;
        let tree = find(stage);
        unmount(stage, UnmountFlags::DETACH).map_err(|e| internal("leave the stage", e))?;
        tree?
    };
    if *access == OverlayAccess::ReadOnly {
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
    file.set_permissions(std::fs::Permissions::from_mode(mode & 0o7777)).map_err(failed)?;
    let copy = copy_of(&file).map_err(|e| failed(e.into()))?;
    make_read_only(&copy).map_err(failed)?;
    unmount(stage, UnmountFlags::DETACH).map_err(|e| failed(e.into()))?;
    Ok(copy)
}

/// As Docker does: any user may open low ports and send pings, in a namespace of the container's own. One that was given is prepared.
fn set_kernel_parameters(root: &Root, spec: &Spec) {
    if spec.network != NetworkSpec::None {
        return;
    }
    for (name, value) in OPEN_SWITCHES {
        if let Ok(file) = root.resolve(&format!("/proc/sys/net/{name}"), OFlags::WRONLY) {
            // A kernel without it restricts nothing that could be opened up.
            let _unknown = rustix::io::write(&file, value.as_bytes());
        }
    }
}

/// What Docker hides: files that tell too much about the host, or act on it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What Docker makes read-only.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn hide(root: &Root, spec: &Spec) -> Result<(), Failure> {
    let failed = |path: &str, e: std::io::Error| Failure::environment(format!("hide `{path}`"), e);
    for path in READ_ONLY {
        match root.resolve(path, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(path, error.into())),
            Ok(place) => {
                let copy = copy_of(&place).map_err(|e| failed(path, e.into()))?;
                make_read_only(&copy).map_err(|e| failed(path, e))?;
                attach_to(&copy, &place).map_err(|e| failed(path, e.into()))?;
            }
        }
    }
    let mut empty = None;
    for path in MASKED.into_iter().chain(spec.masked.iter().map(String::as_str)) {
        let place = match root.resolve(path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            other => other.map_err(|e| failed(path, e.into()))?,
        };
        let cover = match TargetKind::of(&place).map_err(|e| failed(path, e.into()))? {
            TargetKind::File => copy_of_host(Path::new("/dev/null")).map_err(|e| failed(path, e.into()))?,
            TargetKind::Directory => match &empty {
                Some(first) => copy_of(first).map_err(|e| failed(path, e.into()))?,
                None => {
                    filesystem("tmpfs", &[], MountAttrFlags::MOUNT_ATTR_RDONLY | NODEV | NOSUID | NOEXEC)?
                }
            },
        };
        attach_to(&cover, &place).map_err(|e| failed(path, e.into()))?;
        if empty.is_none() && TargetKind::of(&cover) == Ok(TargetKind::Directory) {
            empty = Some(cover);
        }
    }
    Ok(())
}

/// Makes the new root the root of this process and lets go of the old one.
fn enter(root: &Root) -> Result<(), Failure> {
    let failed = |e: Errno| Failure::environment("enter the root", e);
    rustix::process::fchdir(root.fd()).map_err(failed)?;
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}
