//! The daemon's process from start to end.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use farm_coordinator::Paths;
use farm_model::{Scope, WorkerId};
use farm_transport::{Authority, Credentials, Identity, Role};

use crate::config::{self, Config};
use crate::daemon::READY;
use crate::daemon::endpoint::{Endpoint, Lock};
use crate::failure::{Failure, chain};
use crate::interrupt::Interrupts;
use crate::isolation::Isolation;
use crate::{parts, paths, progress};

/// How long a daemon that is ending is waited for, and how often it is looked at.
const PARTING: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(10);
const DEFAULT_IDLE_EXIT: Duration = Duration::from_secs(1800);
/// The worker of a daemon.
const WORKER: &str = "local";

/// Serves until it is asked to stop, or has been idle for long.
pub(super) fn serve(named: Option<&Path>) -> Result<(), Failure> {
    paths::require_root()?;
    // A signal to the terminal's processes is not meant for the daemon. It fails for one that leads a session already.
    let _leads = rustix::process::setsid();
    let config = config::load(named)?;
    let lock = take_lock()?;
    let runtime = crate::runtime()?;
    let result = runtime.block_on(run(&config));
    Endpoint::withdraw(std::process::id());
    runtime.shutdown_timeout(crate::PARTING);
    drop(lock);
    result
}

fn take_lock() -> Result<Lock, Failure> {
    let directory = paths::daemon();
    let failed = |error: std::io::Error| {
        Failure::environment(format!("cannot use `{}`: {error}", directory.display()))
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
    let started = Instant::now();
    loop {
        if let Some(lock) = Lock::take().map_err(failed)? {
            return Ok(lock);
        }
        // One that listens no more is ending: what it does last, syncing its store above all, takes its time.
        if Endpoint::read()?.is_some() || started.elapsed() > PARTING {
            let holder =
                Lock::holder().map(|pid| format!("it is process {pid}; once that has ended, try again"));
            return Err(Failure::environment("a daemon runs already, and does not say where it listens")
                .with_hint(holder));
        }
        std::thread::sleep(RETRY);
    }
}

async fn run(config: &Config) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
    // Opening a database and sweeping up what was left take about equally long.
    let store = tokio::task::spawn_blocking(parts::open_store);
    let isolation = Isolation::chosen(config)?;
    let executor = tokio::task::spawn_blocking(move || parts::open_executor(&isolation));
    let credentials = credentials()?;
    let store = store.await.map_err(|panic| Failure::internal(panic.to_string()))??;
    let executor = executor.await.map_err(|panic| Failure::internal(panic.to_string()))??;
    let worker = parts::worker(&store, executor, config, None);
    let coordinator = parts::coordinator(store.clone(), config, Paths::Honoured)?;
    let mut worker = parts::join(&coordinator, worker, WorkerId(WORKER.to_owned()));
    let endpoint = parts::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &credentials)?;
    announce(parts::local_address(&endpoint)?, config)?;
    let idle_exit = config.idle_exit.map_or(DEFAULT_IDLE_EXIT, Duration::from_secs);
    tokio::select! {
        () = coordinator.serve(endpoint) => {}
        () = interrupts.requested() => {}
        () = parts::rest(&coordinator, Some(idle_exit)) => {}
    }
    Endpoint::withdraw(std::process::id());
    coordinator.shutdown().await;
    drop(coordinator);
    while worker.join_next().await.is_some() {}
    let synced = tokio::task::spawn_blocking(move || store.sync()).await;
    if let Ok(Err(error)) = synced {
        progress::complain(&format!("warning: the store could not be synced: {}", chain(&error)));
    }
    Ok(())
}

/// Keys for the daemon and for the commands of its user. They outlive a daemon, so that a command can go on with the next.
fn credentials() -> Result<Credentials, Failure> {
    let (directory, client) = (paths::daemon(), paths::daemon().join("client"));
    let own = directory.join("coordinator");
    if let (Ok(credentials), Ok(_)) = (Credentials::load(&own), Credentials::load(&client)) {
        return Ok(credentials);
    }
    let failed = |error: farm_transport::Error| {
        Failure::environment(format!("cannot make keys in `{}`: {}", directory.display(), chain(&error)))
    };
    let authority = Authority::new().map_err(failed)?;
    let identity = |role| Identity { role, name: WORKER.to_owned(), scope: Scope::main() };
    let credentials = authority.issue(&identity(Role::Coordinator)).map_err(failed)?;
    authority.issue(&identity(Role::Client)).and_then(|keys| keys.save(&client)).map_err(failed)?;
    credentials.save(&own).map_err(failed)?;
    Ok(credentials)
}

/// Makes the daemon known, and tells whoever started it. From then on standard output goes nowhere.
fn announce(address: SocketAddr, config: &Config) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::environment(format!("cannot announce the daemon: {error}"));
    let endpoint = Endpoint {
        address,
        version: crate::version::of_this_binary(),
        configuration: config.fingerprint(),
        pid: std::process::id(),
    };
    endpoint.write().map_err(failed)?;
    let mut stdout = std::io::stdout().lock();
    // Whoever started it may have gone away; the daemon stays for the next.
    let _gone = writeln!(stdout, "{READY}").and_then(|()| stdout.flush());
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdout(nowhere).map_err(|error| failed(error.into()))
}
