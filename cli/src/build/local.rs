//! A farm inside this process: one store, one worker, one coordinator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farm_coordinator::{Built, Coordinator, Error, Request, Session};
use farm_executor::{Native, NetworkPool};
use farm_model::BuildEvent;
use farm_store::Store;
use farm_worker::Worker;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::build::apart;
use crate::build::session::Answers;
use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::{paths, progress};

/// How long a second build waits for the store of a first one.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often a directory that is in use is tried again.
const RETRY: Duration = Duration::from_millis(50);
const DEFAULT_RESOLVE_TTL: Duration = Duration::from_secs(300);
const REPORTS: usize = 1024;

/// The running parts.
pub(super) struct Farm {
    pub(super) store: Store,
    coordinator: Coordinator,
    worker: JoinSet<()>,
}

impl Farm {
    /// Opens the store and starts the worker.
    pub(super) async fn start(config: &Config) -> Result<Self, Failure> {
        let store = apart(open_store).await?;
        let executor = apart(open_executor).await?;
        let (commands, received) = mpsc::unbounded_channel();
        let (reports, reported) = mpsc::channel(REPORTS);
        let slots = config.slots.unwrap_or_else(default_slots);
        let worker = Worker::new(
            store.clone(),
            Arc::new(executor),
            Arc::new(NetworkPool::new(slots.min(MOST_NETWORKS_AHEAD))),
            host_resolv_conf(),
            farm_worker::Options { slots, limits: limits(config) },
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(worker.serve(received, reports));
        let options = farm_coordinator::Options {
            resolve_ttl: config.resolve_ttl.map_or(DEFAULT_RESOLVE_TTL, Duration::from_secs),
            registries: registries(config),
            limits: farm_oci::Limits::default(),
        };
        let coordinator = Coordinator::new(store.clone(), commands, reported, options)
            .map_err(|error| Failure::environment(chain(&error)).with_hint(error.hint()))?;
        Ok(Self { store, coordinator, worker: tasks })
    }

    /// Runs a build, and answers what it asks.
    pub(super) async fn build(
        &self,
        request: Request,
        answers: Answers,
        events: mpsc::Sender<BuildEvent>,
    ) -> Result<Built, Error> {
        let (session, requests) = Session::new();
        let mut client = JoinSet::new();
        client.spawn(answers.serve(requests));
        self.coordinator.build(request, session, events).await
    }

    /// Ends the worker once its steps are gone, and makes everything durable.
    pub(super) async fn stop(self) {
        let Self { store, coordinator, mut worker } = self;
        drop(coordinator);
        while worker.join_next().await.is_some() {}
        let synced = tokio::task::spawn_blocking(move || store.sync()).await;
        if let Ok(Err(error)) = synced {
            progress::complain(&format!("warning: the store could not be synced: {}", chain(&error)));
        }
    }
}

/// Network namespaces that are made before they are asked for.
const MOST_NETWORKS_AHEAD: usize = 4;

/// Steps often wait off the processor, for a network or a disk.
fn default_slots() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

fn open_store() -> Result<Store, Failure> {
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

/// Takes the runtime directory, as soon as nobody else has it.
fn open_executor() -> Result<Native, Failure> {
    let (root, start) = (paths::runtime(), Instant::now());
    let mut told = false;
    loop {
        match Native::new(&root) {
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

fn registries(config: &Config) -> farm_oci::RegistryConfig {
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
