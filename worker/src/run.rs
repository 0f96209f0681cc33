//! One `RUN` from task to layer: put the root file system together, run, commit.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use farm_executor::{CancelFlag, Container, Executor, Limits, Meter, Network, NetworkPool, User};
use farm_model::event::Stream;
use farm_model::{Exit, Usage, op};
use farm_proto::message::Made;
use farm_proto::{Keep, LeaseId, Outcome, RunTask, WorkerMessage};
use farm_store::Store;
use farm_tree::passwd::Identity;
use farm_tree::{Mtime, Tree};
use tokio::sync::mpsc;

use crate::cache_mount::CacheMounts;
use crate::commit;
use crate::error::Error;
use crate::identity;
use crate::mask::Masker;
use crate::mounts::{self, Prepared};
use crate::rootfs::{self, Stub};

/// What every step of a worker shares.
pub(crate) struct Runner {
    pub(crate) store: Store,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) network: Arc<NetworkPool>,
    pub(crate) cache_mounts: CacheMounts,
    pub(crate) host_resolv_conf: String,
    pub(crate) limits: Limits,
}

/// Files with a secret in them that are named one by one.
const MOST_WARNINGS: usize = 10;

/// One task and what it came with.
pub(crate) struct Job<'a> {
    pub(crate) lease: LeaseId,
    pub(crate) task: &'a RunTask,
    pub(crate) cancel: &'a CancelFlag,
    pub(crate) meter: &'a Meter,
    pub(crate) reports: &'a mpsc::Sender<WorkerMessage>,
}

impl Job<'_> {
    /// Reports something. Waits while the coordinator is slow to listen: a step must not write more than can be told.
    fn report(&self, message: WorkerMessage) {
        // A coordinator that is gone takes no reports; it also cancels.
        let _gone = self.reports.blocking_send(message);
    }
}

impl Runner {
    /// Runs a task to its end; blocks.
    pub(crate) fn run(&self, job: &Job<'_>) -> Outcome {
        match self.try_run(job) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failure(error.into_failure()),
        }
    }

    fn try_run(&self, job: &Job<'_>) -> Result<Outcome, Error> {
        let task = job.task;
        if job.cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        let parent = self.store.tree(&task.merged.digest)?.ok_or(Error::LayerGone(task.merged.digest))?;
        let Some(prepared) = mounts::prepare(&self.store, &self.cache_mounts, task, job.cancel)? else {
            return Ok(Outcome::Cancelled);
        };
        let scratch = self.store.scratch()?;
        rootfs::dress(&scratch.upper(), &parent.root.metadata)?;
        let container = self.container(job, &parent, &prepared, &scratch)?;
        job.report(WorkerMessage::Started { lease: job.lease });
        let outcome = self.observe(job, &container, &prepared)?;
        drop(container);
        let usage = usage(&outcome.usage);
        let exit = match outcome.exit {
            farm_executor::Exit::Cancelled => return Ok(Outcome::Cancelled),
            farm_executor::Exit::Code(code) => Exit::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
            farm_executor::Exit::Signal(signal) => Exit::Signal(u8::try_from(signal).unwrap_or(u8::MAX)),
            farm_executor::Exit::OutOfMemory => Exit::OutOfMemory,
            farm_executor::Exit::TimedOut => Exit::TimedOut,
        };
        if !exit.is_success() {
            return Ok(Outcome::UserFailure { exit, usage });
        }
        let ended = now();
        // The process is gone: its cache mounts are free before its files are read.
        let secrets = prepared.release();
        let layer = match task.keep {
            Keep::Layer => self.commit(job, &parent, &scratch, Mtime(ended), &secrets)?,
            Keep::Nothing => None,
        };
        Ok(Outcome::Success { layer, usage, ended })
    }

    /// Makes a layer of what the command left in `scratch`.
    fn commit(
        &self,
        job: &Job<'_>,
        parent: &Tree,
        scratch: &farm_store::Scratch,
        ended: Mtime,
        secrets: &[farm_proto::Secret],
    ) -> Result<Option<Made>, Error> {
        let secrets: Vec<&[u8]> = secrets.iter().map(farm_proto::Secret::expose).collect();
        let started = Instant::now();
        let committed = commit::commit(&self.store, parent, &scratch.upper(), ended, &secrets)?;
        let read = started.elapsed();
        let more = committed.exposed.len().saturating_sub(MOST_WARNINGS);
        let which = committed.exposed.iter().take(MOST_WARNINGS).map(|path| format!("`/{}`", path.display()));
        let which = which.chain((more > 0).then(|| format!("{more} more files")));
        for file in which {
            let message = format!("a secret's value was written to {file}, which becomes part of the image");
            job.report(WorkerMessage::Warned { lease: job.lease, message });
        }
        let Some(tree) = committed.layer else { return Ok(None) };
        let layer = self.store.adopt(&scratch.upper(), &tree)?;
        tracing::debug!(lease = %job.lease, ?read, all = ?started.elapsed(), "what a step left is a layer");
        Ok(Some(Made { layer, tree: tree.encode() }))
    }

    fn container(
        &self,
        job: &Job<'_>,
        parent: &Tree,
        prepared: &Prepared,
        scratch: &farm_store::Scratch,
    ) -> Result<Container, Error> {
        let task = job.task;
        let identity = identity::identify(&self.store, parent, &task.user)?;
        let mut targets: Vec<(String, Stub)> = ["/proc", "/sys", "/dev", task.workdir.as_str()]
            .iter()
            .map(|path| ((*path).to_owned(), Stub::Directory))
            .chain(["/etc/resolv.conf", "/etc/hosts"].iter().map(|path| ((*path).to_owned(), Stub::File)))
            .collect();
        targets.extend(prepared.targets.iter().cloned());
        let mut lowers = rootfs::lowers(&self.store, &task.layers)?;
        if let Some(stubs) = rootfs::stubs(&self.store, parent, &targets)? {
            lowers.insert(0, self.store.materialise(&stubs)?);
        }
        let network = match task.network {
            op::Network::Default => Network::Sandbox(self.network.take()?),
            op::Network::None => Network::None,
            op::Network::Host => Network::Host,
        };
        let address = match &network {
            Network::Sandbox(namespace) => Some(namespace.address().into()),
            Network::None | Network::Host => None,
        };
        let mut env = task.env.clone();
        env.extend(prepared.env.iter().cloned());
        if !env.iter().any(|(name, _)| name == "HOME") {
            env.push(("HOME".to_owned(), identity.home.clone()));
        }
        Ok(Container {
            id: format!("step-{}", job.lease),
            lowers,
            upper: scratch.upper(),
            work: scratch.work(),
            argv: task.argv.clone(),
            env,
            cwd: task.workdir.clone(),
            user: user(&identity),
            mounts: prepared.mounts.clone(),
            hosts: farm_executor::hosts_file(&task.hostname, address, &extra_hosts(task)),
            resolv_conf: farm_executor::resolv_conf(&self.host_resolv_conf, &network),
            network,
            hostname: task.hostname.clone(),
            shm_size: Container::DEFAULT_SHM_SIZE,
            ulimits: task.ulimits.iter().filter_map(ulimit).collect(),
            limits: self.limits,
            meter: job.meter.clone(),
        })
    }

    /// Runs the container and passes on what it writes, without the secrets.
    fn observe(
        &self,
        job: &Job<'_>,
        container: &Container,
        prepared: &Prepared,
    ) -> Result<farm_executor::Outcome, Error> {
        let masker = || Masker::new(prepared.secrets.iter().map(farm_proto::Secret::expose));
        let (mut stdout, mut stderr) = (masker(), masker());
        let send = |stream, bytes: Vec<u8>| {
            if !bytes.is_empty() {
                job.report(WorkerMessage::Logged { lease: job.lease, stream, bytes });
            }
        };
        let mut output = |stream: farm_executor::Stream, bytes: &[u8]| match stream {
            farm_executor::Stream::Stdout => send(Stream::Stdout, stdout.push(bytes)),
            farm_executor::Stream::Stderr => send(Stream::Stderr, stderr.push(bytes)),
        };
        let outcome = self.executor.run(container, &mut output, job.cancel)?;
        send(Stream::Stdout, stdout.finish());
        send(Stream::Stderr, stderr.finish());
        Ok(outcome)
    }
}

/// The primary group is one of the groups, as container runtimes have it.
fn user(identity: &Identity) -> User {
    let groups = std::iter::once(identity.gid).chain(identity.supplementary.iter().copied()).collect();
    User { uid: identity.uid, gid: identity.gid, groups }
}

/// Addresses were checked where they came in; what is none names nobody.
fn extra_hosts(task: &RunTask) -> Vec<(String, IpAddr)> {
    task.extra_hosts
        .iter()
        .filter_map(|(name, address)| Some((name.clone(), address.parse().ok()?)))
        .collect()
}

fn ulimit(ulimit: &op::Ulimit) -> Option<farm_executor::Ulimit> {
    let resource = farm_executor::Resource::from_name(&ulimit.name)?;
    Some(farm_executor::Ulimit { resource, soft: ulimit.soft, hard: ulimit.hard })
}

fn usage(usage: &farm_executor::Usage) -> Usage {
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Usage {
        wall_micros: micros(usage.wall),
        cpu_micros: micros(usage.user).saturating_add(micros(usage.system)),
        peak_memory: usage.peak_memory,
    }
}

/// Nanoseconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
