//! The caller's side of every executor: it has containers made, tells them what they are for, and watches them. Who isolates the
//! command, the container's init by itself or a runtime that it starts, is settled on the other side, in [`helper`](crate::helper).
//!
//! The calling thread does the work of [`Engine::run`]: it mounts the root, which nobody sees until the container has it, relays output and waits.

mod ended;
mod request;
mod running;
mod supply;
mod zygote;

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::{Joining, Parent};
use crate::container::MountKind;
use crate::executor::Output;
use crate::proxy::Proxy;
use crate::rundir::{ContainerDirectory, RunDirectory};
use crate::spec::{Isolation, Settings};
use crate::{CancelFlag, Container, Error, Exit, Outcome, Usage, network, seccomp, sys};
use request::Prepared;
use supply::Supply;

/// Runs containers. One per run directory.
#[derive(Debug)]
pub(crate) struct Engine {
    // Dropped in this order: containers die before their groups go, and these before the directory, whose lock protects their name.
    supply: Supply,
    cgroups: Arc<Parent>,
    directory: RunDirectory,
}

/// What kind of containers an [`Engine`] has made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    /// By the kernel's own means.
    Native,
    /// By the runtime at a path.
    Oci { runtime: &'a Path },
}

impl Engine {
    pub(crate) fn new(run_dir: &Path, kind: Kind<'_>) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Unsupported {
                missing: "containers need root".to_owned(),
                hint: "run as root; rootless operation is not supported yet",
            });
        }
        let directory = RunDirectory::lock(run_dir)?;
        let joining = match kind {
            Kind::Native => {
                // Compiled meanwhile; the first container waits for it, or meets the error.
                let _unlikely = thread::Builder::new().name("seccomp".to_owned()).spawn(seccomp::filter);
                Joining::BySelf
            }
            Kind::Oci { .. } => Joining::ByRuntime,
        };
        // A container takes a handful of descriptors, and for a moment one for each of its layers.
        sys::limit(libc::RLIMIT_NOFILE)
            .and_then(|(_, most)| sys::set_limit(libc::RLIMIT_NOFILE, most, most))
            .map_err(|e| Error::environment("raise the limit on open files", e))?;
        let cgroups = Arc::new(Parent::create(directory.tag(), joining)?);
        network::sweep();
        let settings = Settings {
            workbench: directory.workbench(),
            devices: cgroups.devices(),
            masked: masked_below_sys(),
            entrances: cgroups.shared_entrances(),
            isolation: match kind {
                Kind::Native => Isolation::Native,
                Kind::Oci { runtime } => Isolation::Oci {
                    runtime: runtime.to_owned(),
                    hierarchies: cgroups.separate_hierarchies(),
                },
            },
        };
        let supply = Supply::start(Arc::clone(&cgroups), settings)?;
        Ok(Self { supply, cgroups, directory })
    }

    /// Runs a container once.
    fn attempt(
        &self,
        container: &Container,
        sockets: &Sockets,
        started: Instant,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
    ) -> Result<Outcome, Error> {
        let mut prepared = Prepared::new(container, sockets, &self.directory.workbench())?;
        let mut cell = self.supply.take()?;
        let rest = self.cgroups.limit(&mut cell.group, &container.limits, &container.meter)?;
        prepared.keep_to(rest)?;
        let running = prepared.send(container, cell)?;
        let deadline = container.limits.timeout.map(|timeout| started + timeout);
        let (ended, mut group) = running.watch(output, cancel, deadline)?;
        group.end_meter();
        let outcome = ended.outcome(&group, started, output);
        self.supply.remove(group);
        outcome
    }
}

/// Reclaims what a dead owner of `run_dir` left: control groups, processes, directories, and bridges. [`Native::new`](crate::Native::new)
/// and [`Oci::new`](crate::Oci::new) do so too; this is for when no container is to be run. Fails if the owner lives.
pub fn sweep(run_dir: &Path) -> Result<(), Error> {
    let directory = RunDirectory::lock(run_dir)?;
    drop(Parent::create(directory.tag(), Joining::ByRuntime)?);
    network::sweep();
    Ok(())
}

impl Engine {
    /// As [`Executor::run`](crate::Executor::run) says.
    pub(crate) fn run(
        &self,
        container: &Container,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
    ) -> Result<Outcome, Error> {
        let started = Instant::now();
        container.validate()?;
        let sockets = Sockets::start(container, &self.directory)?;
        let mut pause = SHORTEST_PAUSE;
        loop {
            if cancel.is_cancelled() {
                return Ok(Outcome { exit: Exit::Cancelled, usage: Usage::default() });
            }
            match self.attempt(container, &sockets, started, output, cancel) {
                Err(error) if error.is_shortage() && started.elapsed() < PATIENCE => {
                    tracing::debug!(id = container.id, %error, "a container waits for room");
                    wait(cancel, pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    empty(&container.work)?;
                }
                other => return other,
            }
        }
    }
}

/// How long a container that finds no room is tried again: others end meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Waits for so long, or until the flag is raised.
fn wait(cancel: &CancelFlag, pause: Duration) {
    let pause = Timespec::try_from(pause).ok();
    let _early = poll(&mut [PollFd::from_borrowed_fd(cancel.as_fd(), PollFlags::IN)], pause.as_ref());
}

/// Takes away what a mount left in its work directory, which would keep a second one from being made.
fn empty(work: &Path) -> Result<(), Error> {
    let failed = |e: io::Error| Error::environment(format!("empty `{}`", work.display()), e);
    for entry in std::fs::read_dir(work).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        let path = entry.path();
        let removed = if is_directory { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.map_err(failed)?;
    }
    Ok(())
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
