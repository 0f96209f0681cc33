//! The way to a coordinator: a daemon of the user's own, started when none runs, or a farm's.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use farm_client::Client;
use farm_proto::client::{Reply, Request, Stop};
use farm_transport::{Credentials, Role};

use crate::daemon::endpoint::Endpoint;
use crate::daemon::start;
use crate::failure::{Failure, chain};
use crate::{config, parts, paths, progress};

/// How often a coordinator that is going away is asked whether it is gone.
const RETRY: Duration = Duration::from_millis(20);
/// How long a daemon that does not answer may take to end: containers that it stops, and its last write to the disk.
const PARTING: Duration = Duration::from_secs(15);
/// How long a daemon of another version may take to finish what it does.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Which coordinator is meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Coordinator of a farm, in place of a daemon on this machine
    #[arg(long, value_name = "HOST:PORT", env = "FARM_COORDINATOR")]
    pub(crate) coordinator: Option<String>,

    /// Directory with `ca.pem`, `cert.pem` and `key.pem` for `--coordinator` [default: certificates beside farm.toml]
    #[arg(long, value_name = "DIR", env = "FARM_CERTIFICATES")]
    pub(crate) certificates: Option<PathBuf>,

    /// Another configuration file
    #[arg(long, value_name = "FILE", env = "FARM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// Connects, and starts the daemon when none runs.
pub(crate) async fn connect(options: &Options) -> Result<Client, Failure> {
    if let Some(address) = &options.coordinator {
        return connect_to_farm(address, options).await;
    }
    connect_to_daemon(options, None).await
}

/// As [`connect`], with a daemon that has the configuration of this command: what it pulls and how its steps run follow it.
pub(crate) async fn connect_configured(options: &Options) -> Result<Client, Failure> {
    if let Some(address) = &options.coordinator {
        return connect_to_farm(address, options).await;
    }
    let fingerprint = config::load(options.config.as_deref())?.fingerprint();
    connect_to_daemon(options, Some(&fingerprint)).await
}

async fn connect_to_farm(address: &str, options: &Options) -> Result<Client, Failure> {
    let credentials = parts::credentials(&parts::certificates(options.certificates.as_deref())?)?;
    reach(address, &credentials).await
}

/// Connects to look, and says what the coordinator takes this person for. In a farm that is a client where the certificate of
/// one can be read, else a viewer, whose certificate lies in `viewer` below the directory of the client's.
pub(crate) async fn connect_to_watch(options: &Options) -> Result<(Client, Role), Failure> {
    let Some(address) = &options.coordinator else {
        return Ok((connect_to_daemon(options, None).await?, Role::Client));
    };
    let directory = parts::certificates(options.certificates.as_deref())?;
    let credentials = match parts::credentials(&directory) {
        Ok(credentials) => credentials,
        // Why the first cannot be used says more, where there is no second either.
        Err(failure) => Credentials::load(&directory.join("viewer")).map_err(|_| failure)?,
    };
    let role = credentials.identity().role;
    Ok((reach(address, &credentials).await?, role))
}

/// As [`connect_to_watch`], once more: a daemon that does not run any more is not started.
pub(crate) async fn watch_again(options: &Options) -> Result<Client, Failure> {
    if options.coordinator.is_some() {
        return Ok(connect_to_watch(options).await?.0);
    }
    match running().await? {
        Some((_, client)) => Ok(client),
        None => Err(Failure::environment("no daemon runs").with_hint(Some("`farm daemon start` starts one"))),
    }
}

async fn reach(address: &str, credentials: &Credentials) -> Result<Client, Failure> {
    Client::connect(resolve(address)?, credentials).await.map_err(|error| {
        Failure::environment(format!("cannot reach the coordinator `{address}`: {}", chain(&error)))
            .with_hint(Some("check the address, and that `farm coordinator` runs there"))
    })
}

/// The first address that `host:port` stands for.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let mut found = address
        .to_socket_addrs()
        .map_err(|error| Failure::environment(format!("`{address}` is no address: {error}")))?;
    found.next().ok_or_else(|| Failure::environment(format!("`{address}` has no address")))
}

async fn connect_to_daemon(options: &Options, configuration: Option<&str>) -> Result<Client, Failure> {
    let started = Instant::now();
    let mut told = false;
    loop {
        let Some((endpoint, client)) = running().await? else {
            start::start(options)?;
            continue;
        };
        let same_version = endpoint.version == crate::version::of_this_binary();
        if same_version && configuration.is_none_or(|wanted| wanted == endpoint.configuration) {
            return Ok(client);
        }
        // Another one: it finishes what it does, then a daemon as it is wanted takes over.
        replace(&client, &endpoint, &mut told).await?;
        if started.elapsed() > PATIENCE {
            return Err(Failure::environment(format!(
                "the daemon (process {}) has another version or configuration and does not become idle",
                endpoint.pid
            ))
            .with_hint(Some("stop it with `farm daemon stop`")));
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The daemon that runs, if one does. An endpoint that nobody listens on any more is what a killed daemon left; one that
/// is about to end answers nobody, and is waited for.
pub(crate) async fn running() -> Result<Option<(Endpoint, Client)>, Failure> {
    let started = Instant::now();
    loop {
        let Some(endpoint) = Endpoint::read()?.filter(Endpoint::is_alive) else { return Ok(None) };
        let credentials = match Credentials::load(&paths::daemon().join("client")) {
            Ok(credentials) => credentials,
            Err(_) if !endpoint.is_alive() => return Ok(None),
            Err(error) => {
                return Err(Failure::environment(format!(
                    "cannot read the daemon's keys: {}",
                    chain(&error)
                )));
            }
        };
        match Client::connect(endpoint.address, &credentials).await {
            Ok(client) => return Ok(Some((endpoint, client))),
            Err(_) if started.elapsed() < PARTING => tokio::time::sleep(RETRY).await,
            Err(error) => {
                return Err(Failure::environment(format!(
                    "the daemon (process {}) does not answer: {}",
                    endpoint.pid,
                    chain(&error)
                ))
                .with_hint(Some("`farm daemon logs` shows what it does; `farm daemon stop` ends it")));
            }
        }
    }
}

async fn replace(client: &Client, endpoint: &Endpoint, told: &mut bool) -> Result<(), Failure> {
    // Others may go on using it meanwhile: only an idle one is asked to stop.
    let builds = match client.request(Request::Status).await {
        Ok(Reply::Status(status)) => status.running_builds,
        _ => 0,
    };
    if builds > 0 {
        if !std::mem::replace(told, true) {
            progress::complain(&format!(
                "waiting for the daemon (process {}), which has another version or configuration, to become idle",
                endpoint.pid
            ));
        }
        return Ok(());
    }
    match client.request(Request::Stop(Stop::WhenIdle)).await {
        Ok(Reply::Refused(refusal)) => Err(Failure::refused(&refusal)),
        // A daemon that went away meanwhile is what was wanted.
        Ok(_) | Err(_) => Ok(()),
    }
}
