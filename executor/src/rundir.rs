//! The run directory: a lock that says whether its owner lives, and a directory per running container.
//!
//! ```text
//! lock            held exclusively by the live owner; the kernel lets go of it with the process
//! tag             random name of this directory's control groups
//! workbench/      empty; each container is put together over it, in its own mount namespace
//! containers/ID/  sockets that are forwarded into a container
//! ```
//!
//! Nothing is mounted there as the host sees it, and nothing is written for an ordinary container: on a busy disk, making and removing a few files
//! takes longer than the container. So what a dead owner leaves are sockets here and control groups, both found by name; its processes died with it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// A run directory that this process owns.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    tag: String,
    _lock: File,
}

impl RunDirectory {
    /// Locks `path` and removes what a dead owner left in it.
    pub(crate) fn lock(path: &Path) -> Result<Self, Error> {
        let failed = |action: &str, source: io::Error| {
            Error::environment(format!("{action} run directory `{}`", path.display()), source)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed("make", e))?;
        let path = path.canonicalize().map_err(|e| failed("resolve", e))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(|e| failed("lock", e))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Busy { path: path.display().to_string() });
            }
            Err(error) => return Err(failed("lock", error.into())),
        }
        let tag = tag(&path.join("tag")).map_err(|e| failed("read the tag of", e))?;
        let containers = path.join("containers");
        match fs::remove_dir_all(&containers) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("clean", error)),
            Ok(()) | Err(_) => {}
        }
        for directory in [containers, path.join(WORKBENCH)] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(|e| failed("prepare", e))?;
        }
        Ok(Self { path, tag, _lock: lock })
    }

    /// Names what belongs to this directory elsewhere on the machine.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// An empty directory to mount over.
    pub(crate) fn workbench(&self) -> PathBuf {
        self.path.join(WORKBENCH)
    }

    /// Makes the directory of a container.
    pub(crate) fn container(&self, id: &str) -> Result<ContainerDirectory, Error> {
        let path = self.path.join("containers").join(id);
        let failed = |source| Error::environment(format!("prepare directory `{}`", path.display()), source);
        fs::create_dir(&path).map_err(failed)?;
        Ok(ContainerDirectory { path })
    }
}

const WORKBENCH: &str = "workbench";

fn tag(path: &Path) -> io::Result<String> {
    if let Ok(tag) = fs::read_to_string(path)
        && tag.len() == 12
        && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Ok(tag);
    }
    let mut random = [0; 6];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let tag: String =
        random.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).map(char::from).collect();
    fs::write(path, &tag)?;
    Ok(tag)
}

/// The directory of one container; dropping it removes it.
#[derive(Debug)]
pub(crate) struct ContainerDirectory {
    path: PathBuf,
}

impl ContainerDirectory {
    /// Where the socket of mount `index` listens.
    pub(crate) fn socket(&self, index: usize) -> PathBuf {
        self.path.join(format!("socket-{index}"))
    }
}

impl Drop for ContainerDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a container's run directory");
        }
    }
}
