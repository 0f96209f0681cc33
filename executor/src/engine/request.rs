//! What a container is told: a description, and the descriptors that it speaks of.
//!
//! All paths of the host are looked up here, in the host's mount namespace; a container has let go of that long before.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::Sockets;
use super::running::Running;
use super::zygote::Cell;
use crate::cgroup::Rest;
use crate::container::{MountKind, OverlayAccess};
use crate::mounts::{copy_of_host, make_read_only};
use crate::network::isolated;
use crate::overlay::{self, Upper};
use crate::spec::{Failure, Fd, MountKindSpec, MountSpec, Spec};
use crate::{Access, Blame, Container, Error, Mount, Network};

/// A container whose mounts exist.
pub(super) struct Prepared<'a> {
    spec: Spec,
    secrets: Vec<&'a [u8]>,
    fds: Vec<OwnedFd>,
}

/// Frame 0 is the description.
const FIRST_SECRET: usize = 1;

impl<'a> Prepared<'a> {
    /// Mounts what `container` asks for; `spot` is an empty directory of the host.
    pub(super) fn new(container: &'a Container, sockets: &Sockets, spot: &Path) -> Result<Self, Error> {
        let upper = Upper { upper: &container.upper, work: &container.work };
        let root = overlay::stack(&container.lowers, Some(upper), spot)?;
        let spec = Spec {
            root: 0,
            argv: container.argv.clone(),
            env: container.env.clone(),
            cwd: container.cwd.clone(),
            user: container.user.clone(),
            mounts: Vec::new(),
            network: None,
            hostname: container.hostname.clone(),
            shm_size: container.shm_size,
            ulimits: container.ulimits.clone(),
            hosts: container.hosts.clone(),
            resolv_conf: container.resolv_conf.clone(),
            entrances: Vec::new(),
            late: Vec::new(),
        };
        let mut prepared = Self { spec, secrets: Vec::new(), fds: vec![root] };
        prepared.spec.network = match &container.network {
            Network::Sandbox(namespace) => {
                let copy = namespace.as_fd().try_clone_to_owned();
                Some(prepared.keep(copy.map_err(|e| Error::environment("hold the network namespace", e))?))
            }
            Network::None => Some(prepared.keep(isolated()?)),
            Network::Host => None,
        };
        for (index, mount) in container.mounts.iter().enumerate() {
            let kind = prepared.mount(mount, &sockets.path(index), spot)?;
            prepared.spec.mounts.push(MountSpec { target: mount.target.clone(), kind });
        }
        Ok(prepared)
    }

    fn keep(&mut self, fd: OwnedFd) -> Fd {
        self.fds.push(fd);
        self.fds.len() - 1
    }

    fn mount(&mut self, mount: &'a Mount, socket: &Path, spot: &Path) -> Result<MountKindSpec, Failure> {
        Ok(match &mount.kind {
            MountKind::Bind { source, access } => {
                MountKindSpec::Whole { mount: self.keep(bind(source, *access)?) }
            }
            MountKind::Overlay { lowers, subpath, access } => {
                let (upper, access) = match access {
                    OverlayAccess::ReadOnly => (None, Access::ReadOnly),
                    OverlayAccess::Discard { upper, work } => {
                        (Some(Upper { upper, work }), Access::ReadWrite)
                    }
                };
                let mount = self.keep(overlay::stack(lowers, upper, spot)?);
                MountKindSpec::Part { mount, subpath: subpath.clone(), access }
            }
            MountKind::Tmpfs { size, mode } => MountKindSpec::Tmpfs { size: *size, mode: *mode },
            MountKind::SecretFile { bytes, mode, uid, gid } => {
                self.secrets.push(&bytes.0);
                let frame = FIRST_SECRET + self.secrets.len() - 1;
                MountKindSpec::SecretFile { frame, mode: *mode, uid: *uid, gid: *gid }
            }
            MountKind::UnixSocket { .. } => {
                MountKindSpec::Whole { mount: self.keep(bind(socket, Access::ReadWrite)?) }
            }
        })
    }

    /// Has the container do what is left to do for its limits.
    pub(super) fn keep_to(&mut self, rest: Rest) -> Result<(), Error> {
        for entrance in rest.entrances {
            let fd = self.open(&entrance)?;
            self.spec.entrances.push(fd);
        }
        for (file, value) in rest.late {
            let fd = self.open(&file)?;
            self.spec.late.push((fd, value));
        }
        Ok(())
    }

    /// Opens a file of a control group for the container to write to.
    fn open(&mut self, path: &Path) -> Result<Fd, Error> {
        let action = || format!("open control group `{}`", path.display());
        let file = OpenOptions::new().write(true).open(path);
        Ok(self.keep(file.map_err(|e| Error::environment(action(), e))?.into()))
    }

    /// Hands everything to `cell`; the mounts are then the container's alone.
    pub(super) fn send(self, container: &Container, cell: Cell) -> Result<Running, Error> {
        let spec = serde_json::to_vec(&self.spec).map_err(|problem| Error::Invalid {
            id: container.id.clone(),
            problem: format!("cannot be described: {problem}"),
            blame: Blame::Environment,
        })?;
        let frames: Vec<&[u8]> = std::iter::once(spec.as_slice()).chain(self.secrets).collect();
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().map(AsFd::as_fd).collect();
        Running::start(cell, &frames, &fds)
            .map_err(|e| Error::setup("watch the container", Blame::Internal, e))
    }
}

/// A file or directory of the host, with what is mounted below it.
fn bind(source: &Path, access: Access) -> Result<OwnedFd, Failure> {
    let action = || format!("bind `{}`", source.display());
    let tree = copy_of_host(source).map_err(|e| Failure::environment(action(), e))?;
    if access == Access::ReadOnly {
        make_read_only(&tree).map_err(|e| Failure::environment(action(), e))?;
    }
    Ok(tree)
}
