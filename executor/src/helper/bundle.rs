//! A container for an OCI runtime: a root with the mounts of the step in it, and a bundle that describes the rest.
//!
//! The mount namespace keeps what the host has, as a runtime may need any of it, and has over that a workbench in memory, a `/proc` of its own pid
//! namespace, and of the control groups only those hierarchies that have groups for the container. Mounts of the step are attached
//! to the root here, by the same rules as without a runtime, and the runtime binds the root with all that is mounted below it. Only what goes
//! below `/dev` would be covered by the runtime's own `/dev`, and so becomes a mount of the bundle.

mod config;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use super::sources::{self, NODEV, NOEXEC, NOSUID, STAGE};
use super::{Request, command, internal};
use crate::mounts::{Root, TargetKind, attach_at, attach_to, copy_of, copy_of_host, filesystem};
use crate::spec::{CellSpec, Failure, Report, Settings};

/// What the workbench holds: the container's root, sources of mounts, the bundle, and the state of the runtime.
const ROOT: &str = "root";
const MOUNTS: &str = "mounts";
const BUNDLE: &str = "bundle";
const STATE: &str = "state";

/// Where runtimes look for control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// A mount that the runtime makes.
struct Bind {
    source: PathBuf,
    target: String,
}

/// What was made for the runtime to build on.
struct Inside<'a> {
    root: &'a Path,
    /// What stands for the first word of the command.
    program: &'a str,
    /// The process that has the command's pid namespace.
    reaper: i32,
    binds: &'a [Bind],
}

/// Where a runtime finds what it needs.
pub(super) struct Bundle {
    pub(super) path: PathBuf,
    pub(super) state: PathBuf,
}

/// Does what does not depend on the step; `hierarchies` are those of v1 that have groups for it.
pub(super) fn prepare(settings: &Settings, hierarchies: &[PathBuf]) -> Result<(), Failure> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|e| Failure::environment("make mounts private", e))?;
    let failed = |e: std::io::Error| Failure::environment("prepare the workbench", e);
    let bench = settings.workbench.as_path();
    // In memory that is never swapped out, which a tmpfs could be: an environment may hold secrets.
    mount("ramfs", bench, "ramfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=700"))
        .map_err(|e| failed(e.into()))?;
    for directory in [STAGE, ROOT, MOUNTS, BUNDLE, STATE] {
        fs::create_dir(bench.join(directory)).map_err(failed)?;
    }
    let host = Root::open(Path::new("/")).map_err(|e| internal("open the root", e))?;
    host.attach_strictly(&filesystem("proc", &[], NOSUID | NOEXEC | NODEV)?, "/proc")?;
    show_groups(&host, hierarchies)
}

/// Shows no other control groups than those of `hierarchies`; a machine with v2 alone has one for everything.
fn show_groups(host: &Root, hierarchies: &[PathBuf]) -> Result<(), Failure> {
    if hierarchies.is_empty() {
        return Ok(());
    }
    let failed = |e: std::io::Error| Failure::environment("show control groups to the runtime", e);
    let copies: Vec<_> = hierarchies
        .iter()
        .filter_map(|mount| Some((mount.file_name()?, mount)))
        .map(|(name, mount)| copy_of_host(mount).map(|copy| (Path::new(GROUPS).join(name), copy)))
        .collect::<Result<_, _>>()
        .map_err(|e| failed(e.into()))?;
    // Runtimes read the mount table, where a mount is listed even when another one covers it.
    for mount in group_mounts(&fs::read_to_string("/proc/self/mountinfo").map_err(failed)?) {
        unmount(mount, UnmountFlags::DETACH).map_err(|e| failed(e.into()))?;
    }
    host.attach_strictly(&filesystem("tmpfs", &[("mode", "755")], NOSUID | NOEXEC | NODEV)?, GROUPS)?;
    for (place, copy) in copies {
        fs::create_dir(&place).map_err(failed)?;
        let place = Root::open(&place).map_err(|e| failed(e.into()))?;
        attach_to(&copy, place.fd()).map_err(|e| failed(e.into()))?;
    }
    Ok(())
}

/// Where a mount table has control groups, the last one first.
fn group_mounts(table: &str) -> impl Iterator<Item = &str> {
    table.lines().rev().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        matches!(kind, "cgroup" | "cgroup2").then(|| before.split(' ').nth(4))?
    })
}

/// Puts the container together, checks what is the user's to get right, and describes the rest.
pub(super) fn assemble(
    settings: &Settings,
    cell: &CellSpec,
    reaper: i32,
    request: &Request,
) -> Result<Bundle, Report> {
    let bench = settings.workbench.as_path();
    let binds = attach(bench, request)?;
    let root = bench.join(ROOT);
    let program = command::look_up(&root, &request.spec)?;
    let inside = Inside { root: &root, program: &program, reaper, binds: &binds };
    let config = config::of(settings, cell, &request.spec, &inside)?;
    let bundle = Bundle { path: bench.join(BUNDLE), state: bench.join(STATE) };
    fs::write(bundle.path.join("config.json"), config.to_string())
        .map_err(|e| Failure::environment("write the bundle", e))?;
    Ok(bundle)
}

/// Attaches the root and all that goes into it; returns what the runtime has to mount.
fn attach(bench: &Path, request: &Request) -> Result<Vec<Bind>, Failure> {
    let spec = &request.spec;
    let path = bench.join(ROOT);
    let failed = |e: rustix::io::Errno| Failure::environment("attach the root", e);
    let place = Root::open(&path).map_err(failed)?;
    attach_to(request.fd(spec.root)?, place.fd()).map_err(failed)?;
    let root = Root::open(&path).map_err(failed)?;
    for directory in ["/proc", "/sys"] {
        root.own_directory(directory)?;
    }
    // Never seen by the command; takes up what would otherwise be made in the image's own directory.
    root.attach_strictly(&filesystem("tmpfs", &[("mode", "755")], NOSUID | NOEXEC | NODEV)?, "/dev")?;
    for (target, file) in sources::generated(bench, spec)? {
        root.attach(&file, target)?;
    }
    let mut binds = Vec::new();
    for (index, mount) in spec.mounts.iter().enumerate() {
        let detached = sources::detached(bench, mount, request)?;
        let place = root.place_for(&detached, &mount.target)?;
        match below_dev(&path, &place)? {
            None => attach_at(&detached, &place, &mount.target)?,
            Some(target) => {
                let source = bench.join(MOUNTS).join(index.to_string());
                let copy = keep(&detached, &source)?;
                attach_at(&copy, &place, &target)?;
                binds.push(Bind { source, target });
            }
        }
    }
    Ok(binds)
}

/// The path of an open place in the container if that is `/dev` or below it.
fn below_dev(root: &Path, place: &OwnedFd) -> Result<Option<String>, Failure> {
    let path = fs::read_link(format!("/proc/self/fd/{}", place.as_fd().as_raw_fd()))
        .map_err(|e| internal("find the target of a mount", e))?;
    let inside = path.strip_prefix(root).ok().filter(|path| path.starts_with("dev"));
    Ok(inside.and_then(Path::to_str).map(|path| format!("/{path}")))
}

/// Attaches a mount to a place on the workbench, and makes a copy of it.
fn keep(mount: &OwnedFd, source: &Path) -> Result<OwnedFd, Failure> {
    let failed = |e: std::io::Error| Failure::environment("keep a mount for the runtime", e);
    match TargetKind::of(mount).map_err(|e| failed(e.into()))? {
        TargetKind::Directory => fs::create_dir(source).map_err(failed)?,
        TargetKind::File => drop(fs::File::create_new(source).map_err(failed)?),
    }
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let open = || rustix::fs::open(source, flags, rustix::fs::Mode::empty());
    open().and_then(|place| attach_to(mount, &place)).map_err(|e| failed(e.into()))?;
    open().and_then(copy_of).map_err(|e| failed(e.into()))
}
