//! The executor that needs no other program: it starts the helper, feeds it and watches it.
//!
//! The calling thread does all the work of [`Native::run`]: it relays output and waits. The helper dies with that
//! thread (`PR_SET_PDEATHSIG`), and the container with the helper.

mod ended;
mod running;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use crate::cgroup::{Group, Parent};
use crate::container::MountKind;
use crate::executor::Output;
use crate::proxy::Proxy;
use crate::rundir::{ContainerDirectory, RunDirectory};
use crate::spec::{MountKindSpec, MountSpec, NetworkSpec, Spec};
use crate::{
    Access, Blame, CancelFlag, Container, Error, Executor, Exit, Network, Outcome, Usage, network, seccomp,
};
use running::Running;

/// Runs containers with the kernel's own means. One per run directory.
#[derive(Debug)]
pub struct Native {
    // Dropped before the directory, whose lock protects the groups' name.
    cgroups: Parent,
    directory: RunDirectory,
    masked: Vec<String>,
}

impl Native {
    /// Takes over `run_dir`, which is made if missing and should be on a tmpfs such as `/run`, and reclaims what a dead process
    /// left there. Fails if a live process uses it.
    pub fn new(run_dir: &Path) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Unsupported {
                missing: "containers need root".to_owned(),
                hint: "run as root; rootless operation is not supported yet",
            });
        }
        let directory = RunDirectory::lock(run_dir)?;
        // Compiled meanwhile; the first container waits for it, or meets the error.
        let _unlikely = thread::Builder::new().name("seccomp".to_owned()).spawn(seccomp::filter);
        let cgroups = Parent::create(directory.tag())?;
        network::sweep();
        Ok(Self { cgroups, directory, masked: masked_below_sys() })
    }

    fn spec(&self, c: &Container, group: &Group, sockets: &Sockets) -> (Spec, Vec<MountFrame>) {
        let mut frames = Vec::new();
        let mounts = c.mounts.iter().enumerate().map(|(index, mount)| {
            let kind = match mount.kind.clone() {
                MountKind::Bind { source, access } => MountKindSpec::Bind { source, access },
                MountKind::Overlay { lowers, subpath, access } => {
                    MountKindSpec::Overlay { lowers, subpath, access }
                }
                MountKind::Tmpfs { size, mode } => MountKindSpec::Tmpfs { size, mode },
                MountKind::SecretFile { mode, uid, gid, .. } => {
                    frames.push(MountFrame { mount: index });
                    MountKindSpec::SecretFile { frame: FIRST_SECRET + frames.len() - 1, mode, uid, gid }
                }
                MountKind::UnixSocket { .. } => {
                    MountKindSpec::Bind { source: sockets.path(index), access: Access::ReadWrite }
                }
            };
            MountSpec { target: mount.target.clone(), kind }
        });
        let spec = Spec {
            lowers: c.lowers.clone(),
            upper: c.upper.clone(),
            work: c.work.clone(),
            argv: c.argv.clone(),
            env: c.env.clone(),
            cwd: c.cwd.clone(),
            user: c.user.clone(),
            mounts: mounts.collect(),
            network: match &c.network {
                Network::Sandbox(_) => NetworkSpec::Given,
                Network::None => NetworkSpec::None,
                Network::Host => NetworkSpec::Host,
            },
            hostname: c.hostname.clone(),
            shm_size: c.shm_size,
            ulimits: c.ulimits.clone(),
            hosts: c.hosts.clone(),
            resolv_conf: c.resolv_conf.clone(),
            workbench: self.directory.workbench(),
            cgroup_entrances: group.entrances(),
            cgroup_view: group.view(),
            devices: self.cgroups.devices(),
            masked: self.masked.clone(),
        };
        (spec, frames)
    }

    fn start(&self, container: &Container, group: &Group, sockets: &Sockets) -> Result<Running, Error> {
        let (spec, secrets) = self.spec(container, group, sockets);
        let spec = serde_json::to_vec(&spec).map_err(|problem| Error::Invalid {
            id: container.id.clone(),
            problem: format!("cannot be described: {problem}"),
            blame: Blame::Environment,
        })?;
        let filter = seccomp::filter();
        let filter = filter.map_err(|e| Error::setup("compile the seccomp filter", Blame::Internal, e))?;
        let mut frames: Vec<&[u8]> = vec![&spec, filter];
        for MountFrame { mount } in secrets {
            if let MountKind::SecretFile { bytes, .. } = &container.mounts[mount].kind {
                frames.push(&bytes.0);
            }
        }
        let network = match &container.network {
            Network::Sandbox(namespace) => Some(namespace.as_fd()),
            Network::None | Network::Host => None,
        };
        let running = Running::spawn().map_err(|e| Error::environment("start the container's helper", e))?;
        running.send(&frames, network);
        Ok(running)
    }
}

/// Reclaims what a dead owner of `run_dir` left: control groups, processes, directories, and bridges. [`Native::new`] does so too; this is
/// for when no container is to be run. Fails if the owner lives.
pub fn sweep(run_dir: &Path) -> Result<(), Error> {
    let directory = RunDirectory::lock(run_dir)?;
    drop(Parent::create(directory.tag())?);
    network::sweep();
    Ok(())
}

/// Frames 0 and 1 are the spec and the filter.
const FIRST_SECRET: usize = 2;

struct MountFrame {
    mount: usize,
}

impl Executor for Native {
    fn run(
        &self,
        container: &Container,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
    ) -> Result<Outcome, Error> {
        let started = Instant::now();
        container.validate()?;
        if cancel.is_cancelled() {
            return Ok(Outcome { exit: Exit::Cancelled, usage: Usage::default() });
        }
        let sockets = Sockets::start(container, &self.directory)?;
        let group = self.cgroups.container(&container.id, &container.limits, &container.meter)?;
        let running = self.start(container, &group, &sockets)?;
        let deadline = container.limits.timeout.map(|timeout| started + timeout);
        let ended = running.watch(output, cancel, deadline)?;
        ended.outcome(&group, started, output)
    }
}

/// The sockets that are forwarded into a container, and the directory where they listen: most containers need neither.
struct Sockets {
    // Stopped before their directory goes.
    proxies: Vec<Proxy>,
    directory: Option<ContainerDirectory>,
}

impl Sockets {
    fn start(container: &Container, run: &RunDirectory) -> Result<Self, Error> {
        let mut sockets = Self { proxies: Vec::new(), directory: None };
        for (index, mount) in container.mounts.iter().enumerate() {
            if let MountKind::UnixSocket { source, mode, uid, gid } = &mount.kind {
                let directory = match sockets.directory.take() {
                    Some(directory) => directory,
                    None => run.container(&container.id)?,
                };
                sockets.proxies.push(Proxy::start(&directory.socket(index), source, *mode, *uid, *gid)?);
                sockets.directory = Some(directory);
            }
        }
        Ok(sockets)
    }

    fn path(&self, mount: usize) -> PathBuf {
        self.directory.as_ref().map(|directory| directory.socket(mount)).unwrap_or_default()
    }
}

/// Paths that exist on this machine and that Docker hides, besides those that exist everywhere.
fn masked_below_sys() -> Vec<String> {
    let mut masked = Vec::new();
    let processors = std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    for processor in processors {
        let throttle = processor.path().join("thermal_throttle");
        if let (true, Some(path)) = (throttle.is_dir(), throttle.to_str()) {
            masked.push(path.to_owned());
        }
    }
    masked.sort();
    masked
}
