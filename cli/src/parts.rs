//! The parts of a farm that can run in a process: store, coordinator, worker. Which of them do is a command's to say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farm_coordinator::{Coordinator, Paths};
use farm_executor::{Executor, NetworkPool};
use farm_model::WorkerId;
use farm_store::Store;
use farm_worker::Worker;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::isolation::Isolation;
use crate::{paths, progress};

/// How long a process waits for a directory that another one uses.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a directory that is in use is tried again.
const RETRY: Duration = Duration::from_millis(20);
const DEFAULT_RESOLVE_TTL: Duration = Duration::from_secs(300);
/// Messages that may wait between a coordinator and the worker in its own process.
const MESSAGES: usize = 1024;
/// How often it is looked whether anything was asked of a coordinator.
const GLANCE: Duration = Duration::from_secs(1);
/// For how long nothing is asked before the memory that builds have left is given back.
const REST: Duration = Duration::from_secs(2);
/// Network namespaces that are made before they are asked for.
const MOST_NETWORKS_AHEAD: usize = 4;
/// Steps that may run for each slot when they wait off the processor.
const OVERSUBSCRIPTION: usize = 8;

/// Opens the store of this process.
pub(crate) fn open_store() -> Result<Store, Failure> {
    let root = paths::state();
    let mut on_wait = |holder: Option<u32>| {
        let who = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
        progress::complain(&format!("waiting for `{}`, which {who} uses", root.display()));
    };
    Store::open_waiting(&root, PATIENCE, &mut on_wait).map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        Failure::environment(chain(&error)).with_hint(hint)
    })
}

/// Takes the runtime directory, as soon as nobody else has it, and sweeps up what a dead process left there.
pub(crate) fn open_executor(isolation: &Isolation) -> Result<Arc<dyn Executor>, Failure> {
    let (root, start) = (paths::runtime(), Instant::now());
    let mut told = false;
    loop {
        match isolation.open(&root) {
            Err(farm_executor::Error::Busy { .. }) if start.elapsed() < PATIENCE => {}
            other => {
                return other.map_err(|error| {
                    Failure::environment(chain(&error)).with_hint(error.hint().map(str::to_owned))
                });
            }
        }
        if !told {
            told = true;
            progress::complain(&format!("waiting for `{}`, which another process uses", root.display()));
        }
        std::thread::sleep(RETRY);
    }
}

/// A worker over `store`.
pub(crate) fn worker(
    store: &Store,
    executor: Arc<dyn Executor>,
    config: &Config,
    address: Option<String>,
) -> Worker {
    let slots = config.slots.unwrap_or_else(default_slots);
    let options = farm_worker::Options {
        slots,
        most: config.most_steps.unwrap_or(slots.saturating_mul(OVERSUBSCRIPTION)).max(slots),
        limits: limits(config),
        labels: config.labels.clone(),
        address,
    };
    let network = Arc::new(NetworkPool::new(slots.min(MOST_NETWORKS_AHEAD)));
    Worker::new(store.clone(), executor, network, host_resolv_conf(), options)
}

/// A coordinator over `store`.
pub(crate) fn coordinator(store: Store, config: &Config, paths: Paths) -> Result<Coordinator, Failure> {
    let options = farm_coordinator::Options {
        resolve_ttl: config.resolve_ttl.map_or(DEFAULT_RESOLVE_TTL, Duration::from_secs),
        registries: registries(config),
        limits: farm_oci::Limits::default(),
        paths,
        version: crate::version::of_this_binary(),
    };
    Coordinator::new(store, options)
        .map_err(|error| Failure::environment(chain(&error)).with_hint(error.hint()))
}

/// Joins a coordinator and a worker of this process; the task ends when the coordinator lets go of its end.
pub(crate) fn join(coordinator: &Coordinator, worker: Worker, id: WorkerId) -> JoinSet<()> {
    let (commands, received) = mpsc::channel(MESSAGES);
    let (reports, reported) = mpsc::channel(MESSAGES);
    let mut tasks = JoinSet::new();
    tasks.spawn(worker.serve_local(received, reports));
    coordinator.attach_local(id, commands, reported);
    tasks
}

/// Gives memory back whenever nothing is asked of the coordinator for a while; returns once that took as long as `limit`.
pub(crate) async fn rest(coordinator: &Coordinator, limit: Option<Duration>) {
    let mut rests = false;
    loop {
        let idle = coordinator.idle_for();
        if idle.zip(limit).is_some_and(|(idle, limit)| idle >= limit) {
            return;
        }
        let rested = idle.is_some_and(|idle| idle >= REST);
        if rested && !rests {
            // It has nothing to tell, and a process that cannot give memory back keeps it.
            let _done = tokio::task::spawn_blocking(farm_executor::release_memory).await;
        }
        rests = rested;
        tokio::time::sleep(GLANCE).await;
    }
}

/// Steps often wait off the processor, for a network or a disk.
fn default_slots() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

fn limits(config: &Config) -> farm_executor::Limits {
    let limits = config.step_limits;
    farm_executor::Limits {
        memory: limits.memory,
        cpus: limits.cpus,
        pids: limits.pids,
        timeout: limits.timeout.map(Duration::from_secs),
    }
}

fn host_resolv_conf() -> String {
    let etc = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    std::fs::read_to_string(farm_executor::resolv_conf_path(&etc)).unwrap_or(etc)
}

/// How registries are reached.
pub(crate) fn registries(config: &Config) -> farm_oci::RegistryConfig {
    let registry = |(name, registry): (&String, &crate::config::Registry)| {
        let settings = farm_oci::Registry { mirrors: registry.mirrors.clone(), insecure: registry.insecure };
        (name.clone(), settings)
    };
    farm_oci::RegistryConfig {
        registries: config.registry.iter().map(registry).collect(),
        docker_config: paths::docker_config().map(|directory| directory.join("config.json")),
        proxies: proxies(),
        timeouts: farm_oci::Timeouts::default(),
    }
}

fn proxies() -> farm_oci::Proxies {
    let variable =
        |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok()).filter(|v| !v.is_empty());
    farm_oci::Proxies {
        http: variable(["http_proxy", "HTTP_PROXY"]),
        https: variable(["https_proxy", "HTTPS_PROXY"]),
        no_proxy: variable(["no_proxy", "NO_PROXY"]),
    }
}

/// Where the certificates of a role lie.
pub(crate) fn certificates(named: Option<&Path>) -> Result<PathBuf, Failure> {
    named.map(Path::to_path_buf).or_else(paths::certificates).ok_or_else(|| {
        Failure::usage("no directory with certificates")
            .with_hint(Some("name one that has `ca.pem`, `cert.pem` and `key.pem` with `--certificates`"))
    })
}

/// Reads the certificates of a role.
pub(crate) fn credentials(directory: &Path) -> Result<farm_transport::Credentials, Failure> {
    farm_transport::Credentials::load(directory).map_err(|error| {
        Failure::environment(format!(
            "cannot use the certificates in `{}`: {}",
            directory.display(),
            chain(&error)
        ))
    })
}

/// Opens a QUIC endpoint.
pub(crate) fn bind(
    address: SocketAddr,
    credentials: &farm_transport::Credentials,
) -> Result<farm_transport::Endpoint, Failure> {
    farm_transport::Endpoint::bind(address, credentials)
        .map_err(|error| Failure::environment(format!("cannot listen on `{address}`: {}", chain(&error))))
}

/// Where an endpoint listens.
pub(crate) fn local_address(endpoint: &farm_transport::Endpoint) -> Result<SocketAddr, Failure> {
    endpoint.local_address().map_err(|error| Failure::environment(chain(&error)))
}
