//! Mounts a stack of layer directories, detached: nobody sees it until it is attached in a container.
//!
//! Layers are passed as descriptors (`/proc/self/fd/N`), so that neither the length of a path nor a character in it matters. A kernel before
//! 6.7 has no `lowerdir+`; there the classic call is used, whose one page of options holds about 200 layers, in a mount namespace that lives
//! for a moment.

use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change,
};

use crate::mounts::copy_of_host;
use crate::spec::Failure;
use crate::sys;

/// Where writes go.
#[derive(Clone, Copy)]
pub(crate) struct Upper<'a> {
    pub(crate) upper: &'a Path,
    pub(crate) work: &'a Path,
}

/// Mounts `lowers`, topmost first. `spot` is an empty directory of the host.
pub(crate) fn stack(lowers: &[PathBuf], upper: Option<Upper<'_>>, spot: &Path) -> Result<OwnedFd, Failure> {
    if let (None, [only]) = (&upper, lowers) {
        // overlayfs refuses a single layer without an upper one, and is not needed for it.
        return copy_of_host(only)
            .map_err(|e| Failure::environment(format!("open layer `{}`", only.display()), e));
    }
    match mount_layer_by_layer(&Layers::open(lowers, upper)?)? {
        Mounted::Yes(mount) => Ok(mount),
        Mounted::KernelIsTooOld => mount_in_one_call(lowers, upper, spot),
    }
}

struct Layers {
    lowers: Vec<OwnedFd>,
    /// Upper and work directory.
    upper: Option<(OwnedFd, OwnedFd)>,
}

impl Layers {
    fn open(lowers: &[PathBuf], upper: Option<Upper<'_>>) -> Result<Self, Failure> {
        let lowers = lowers.iter().map(|path| directory(path)).collect::<Result<_, _>>()?;
        let upper = match upper {
            Some(Upper { upper, work }) => Some((directory(upper)?, directory(work)?)),
            None => None,
        };
        Ok(Self { lowers, upper })
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
    Yes(OwnedFd),
    KernelIsTooOld,
}

fn mount_layer_by_layer(layers: &Layers) -> Result<Mounted, Failure> {
    let failed = |e: Errno| Failure::environment("mount overlay", e);
    let context = match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => return Err(Failure::environment("find overlayfs in the kernel", Errno::NODEV)),
        other => other.map_err(failed)?,
    };
    fsconfig_set_string(&context, "source", "overlay").map_err(failed)?;
    for lower in &layers.lowers {
        match fsconfig_set_string(&context, "lowerdir+", by_descriptor(lower)) {
            // An unknown option; whatever else is wrong, the classic call finds it too.
            Err(Errno::INVAL) => return Ok(Mounted::KernelIsTooOld),
            other => other.map_err(failed)?,
        }
    }
    if let Some((upper, work)) = &layers.upper {
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
    Ok(Mounted::Yes(mounted))
}

/// In a thread whose mount namespace is its own: the classic call has to attach what it mounts.
fn mount_in_one_call(lowers: &[PathBuf], upper: Option<Upper<'_>>, spot: &Path) -> Result<OwnedFd, Failure> {
    let action = || format!("mount overlay of {} layers without `lowerdir+` (Linux 6.7)", lowers.len());
    let failed = |e: Errno| Failure::environment(action(), e);
    let work = || {
        sys::unshare(libc::CLONE_NEWNS).map_err(|e| Failure::environment("make a mount namespace", e))?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).map_err(failed)?;
        // Opened here, as the kernel takes layers from the caller's namespace only.
        let layers = Layers::open(lowers, upper)?;
        let options = options(&layers);
        let options =
            std::ffi::CString::new(options).map_err(|e| Failure::environment("mount overlay", e))?;
        mount("overlay", spot, "overlay", MountFlags::empty(), &*options).map_err(failed)?;
        copy_of_host(spot).map_err(failed)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("overlay".to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| Failure::environment("start a thread", e))?;
        thread.join().unwrap_or_else(|_panic| Err(failed(Errno::IO)))
    })
}

fn options(layers: &Layers) -> String {
    let lowers: Vec<String> = layers.lowers.iter().map(by_descriptor).collect();
    let mut options = format!("lowerdir={}", lowers.join(":"));
    if let Some((upper, work)) = &layers.upper {
        let (upper, work) = (by_descriptor(upper), by_descriptor(work));
        write!(options, ",upperdir={upper},workdir={work},volatile").expect("a string takes everything");
        for (option, value) in PLAIN_UPPER {
            write!(options, ",{option}={value}").expect("a string takes everything");
        }
    }
    options
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_way_of_old_kernels_gives_a_detached_mount_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["top", "bottom", "upper", "work", "spot"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("bottom/file"), "below").unwrap();
        let (upper, work) = (path("upper"), path("work"));
        let upper = Some(Upper { upper: &upper, work: &work });
        let mount = mount_in_one_call(&[path("top"), path("bottom")], upper, &path("spot")).unwrap();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        assert!(rustix::fs::openat(&mount, "file", flags, Mode::empty()).is_ok());
        assert!(fs::read_dir(path("spot")).unwrap().next().is_none(), "the host sees it");
    }
}
