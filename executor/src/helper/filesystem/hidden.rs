//! What Docker hides from a container, and what it makes read-only.

use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::helper::sources::{NODEV, NOEXEC, NOSUID};
use crate::mounts::{Root, TargetKind, attach_to, copy_of, copy_of_host, filesystem, make_read_only};
use crate::spec::Failure;

/// Files that tell too much about the host, or act on it.
const MASKED_IN_PROC: [&str; 10] = [
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
];

const MASKED_IN_SYS: [&str; 2] = ["/sys/devices/virtual/powercap", "/sys/firmware"];

pub(in crate::helper) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// All paths that are hidden, those of `more` included.
pub(in crate::helper) fn masked(more: &[String]) -> impl Iterator<Item = &str> {
    MASKED_IN_PROC.into_iter().chain(MASKED_IN_SYS).chain(more.iter().map(String::as_str))
}

/// Hides what is below `/proc`, files below `null`.
pub(super) fn hide_in_proc(root: &Root, null: &Path) -> Result<(), Failure> {
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
    cover(root, null, MASKED_IN_PROC.into_iter())
}

/// Hides what is below `/sys`, those of `more` included.
pub(super) fn hide_in_sys(root: &Root, null: &Path, more: &[String]) -> Result<(), Failure> {
    cover(root, null, MASKED_IN_SYS.into_iter().chain(more.iter().map(String::as_str)))
}

fn cover<'a>(root: &Root, null: &Path, paths: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut empty = None;
    for path in paths {
        let place = match root.resolve(path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            other => other.map_err(|e| failed(path, e.into()))?,
        };
        let cover = match TargetKind::of(&place).map_err(|e| failed(path, e.into()))? {
            TargetKind::File => copy_of_host(null).map_err(|e| failed(path, e.into()))?,
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

fn failed(path: &str, error: std::io::Error) -> Failure {
    Failure::environment(format!("hide `{path}`"), error)
}
