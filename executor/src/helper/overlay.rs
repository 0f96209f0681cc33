//! Mounts a stack of layer directories.
//!
//! Layers are passed as descriptors (`/proc/self/fd/N`), so that neither the length of a path nor a character in it matters. A kernel before
//! 6.7 has no `lowerdir+`; there the classic call is used, whose one page of options holds about 200 layers.

use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
};

use crate::spec::Failure;

/// Where writes go.
pub(super) struct Upper<'a> {
    pub(super) upper: &'a Path,
    pub(super) work: &'a Path,
}

/// Mounts `lowers`, topmost first, at `target`.
pub(super) fn mount_at(target: &Path, lowers: &[PathBuf], upper: Option<&Upper<'_>>) -> Result<(), Failure> {
    let lowers: Vec<OwnedFd> = lowers.iter().map(|path| directory(path)).collect::<Result<_, _>>()?;
    let upper = match upper {
        Some(Upper { upper, work }) => Some((directory(upper)?, directory(work)?)),
        None => None,
    };
    match mount_layer_by_layer(target, &lowers, upper.as_ref())? {
        Mounted::Yes => Ok(()),
        Mounted::KernelIsTooOld => mount_in_one_call(target, &lowers, upper.as_ref()),
    }
}

fn directory(path: &Path) -> Result<OwnedFd, Failure> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| Failure::environment(format!("open layer `{}`", path.display()), e))
}

fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Options of every overlay with an upper directory: what is written there must be readable without overlayfs, and need not survive a crash.
const PLAIN_UPPER: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "off")];

enum Mounted {
    Yes,
    KernelIsTooOld,
}

fn mount_layer_by_layer(
    target: &Path,
    lowers: &[OwnedFd],
    upper: Option<&(OwnedFd, OwnedFd)>,
) -> Result<Mounted, Failure> {
    let failed = |e: Errno| Failure::environment("mount overlay", e);
    let context = match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => return Err(Failure::environment("find overlayfs in the kernel", Errno::NODEV)),
        other => other.map_err(failed)?,
    };
    fsconfig_set_string(&context, "source", "overlay").map_err(failed)?;
    for lower in lowers {
        match fsconfig_set_string(&context, "lowerdir+", by_descriptor(lower)) {
            // An unknown option; whatever else is wrong, the classic call finds it too.
            Err(Errno::INVAL) => return Ok(Mounted::KernelIsTooOld),
            other => other.map_err(failed)?,
        }
    }
    if let Some((upper, work)) = upper {
        fsconfig_set_string(&context, "upperdir", by_descriptor(upper)).map_err(failed)?;
        fsconfig_set_string(&context, "workdir", by_descriptor(work)).map_err(failed)?;
        for (option, value) in PLAIN_UPPER {
            fsconfig_set_string(&context, option, value).map_err(failed)?;
        }
        fsconfig_set_flag(&context, "volatile").map_err(failed)?;
    }
    fsconfig_create(&context).map_err(|e| {
        let mut failure = failed(e);
        failure.detail = Some(format!("{}; the kernel says: {}", std::io::Error::from(e), log(&context)));
        failure
    })?;
    let mounted =
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(failed)?;
    move_mount(&mounted, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed)?;
    Ok(Mounted::Yes)
}

fn mount_in_one_call(
    target: &Path,
    lowers: &[OwnedFd],
    upper: Option<&(OwnedFd, OwnedFd)>,
) -> Result<(), Failure> {
    let lowers: Vec<String> = lowers.iter().map(by_descriptor).collect();
    let mut options = format!("lowerdir={}", lowers.join(":"));
    if let Some((upper, work)) = upper {
        let (upper, work) = (by_descriptor(upper), by_descriptor(work));
        write!(options, ",upperdir={upper},workdir={work},volatile").expect("a string takes everything");
        for (option, value) in PLAIN_UPPER {
            write!(options, ",{option}={value}").expect("a string takes everything");
        }
    }
    let options = std::ffi::CString::new(options).map_err(|e| Failure::environment("mount overlay", e))?;
    let action = || format!("mount overlay of {} layers without `lowerdir+` (Linux 6.7)", lowers.len());
    mount("overlay", target, "overlay", MountFlags::empty(), &*options)
        .map_err(|e| Failure::environment(action(), e))
}

/// What the kernel has to say about a mount in preparation.
fn log(context: &OwnedFd) -> String {
    let mut messages = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = rustix::io::read(context, &mut buffer) {
        let message = String::from_utf8_lossy(&buffer[..count]);
        messages.push(message.trim_start_matches(['e', 'w', 'i', ' ']).trim().to_owned());
    }
    if messages.is_empty() { "nothing".to_owned() } else { messages.join("; ") }
}
