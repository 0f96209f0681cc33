//! The way to a coordinator: a daemon of the user's own, started when none runs, or a farm's.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use farm_client::Client;
use farm_proto::client::{Reply, Request, Stop};
use farm_transport::Credentials;

use crate::daemon::endpoint::Endpoint;
use crate::daemon::start;
use crate::failure::{Failure, chain};
use crate::{parts, paths, progress};

/// How often a coordinator that is going away is asked whether it is gone.
const RETRY: Duration = Duration::from_millis(20);
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

/// Whether a daemon is started when none runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Absent {
    Start,
    Leave,
}

/// Connects, and starts the daemon where it has to.
pub(crate) async fn connect(options: &Options) -> Result<Client, Failure> {
    connect_if(options, Absent::Start).await?.ok_or_else(|| Failure::internal("a daemon was started and is not there"))
}

/// Connects; none when there is no daemon and none is to be started.
pub(crate) async fn connect_if(options: &Options, absent: Absent) -> Result<Option<Client>, Failure> {
    match &options.coordinator {
        Some(address) => connect_to_farm(address, options).await.map(Some),
        None => connect_to_daemon(options, absent).await,
    }
}

async fn connect_to_farm(address: &str, options: &Options) -> Result<Client, Failure> {
    let credentials = parts::credentials(&parts::certificates(options.certificates.as_deref())?)?;
    Client::connect(resolve(address)?, &credentials).await.map_err(|error| {
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

async fn connect_to_daemon(options: &Options, absent: Absent) -> Result<Option<Client>, Failure> {
    let started = Instant::now();
    let mut told = false;
    loop {
        let Some((endpoint, client)) = running().await? else {
            if absent == Absent::Leave {
                return Ok(None);
            }
            start::start(options)?;
            continue;
        };
        if endpoint.version == crate::version::of_this_binary() || absent == Absent::Leave {
            return Ok(Some(client));
        }
        // Another version: it finishes what it does, then this one's daemon takes over.
        replace(&client, &endpoint, &mut told).await?;
        if started.elapsed() > PATIENCE {
            return Err(Failure::environment(format!(
                "a daemon of version {} (process {}) does not become idle",
                endpoint.version, endpoint.pid
            ))
            .with_hint(Some("stop it with `farm daemon stop`")));
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The daemon that runs, if one does. An endpoint that nobody listens on any more is what a killed daemon left.
pub(crate) async fn running() -> Result<Option<(Endpoint, Client)>, Failure> {
    let Some(endpoint) = Endpoint::read()? else { return Ok(None) };
    if !endpoint.is_alive() {
        return Ok(None);
    }
    let credentials = match Credentials::load(&paths::daemon().join("client")) {
        Ok(credentials) => credentials,
        Err(_) if !endpoint.is_alive() => return Ok(None),
        Err(error) => {
            return Err(Failure::environment(format!("cannot read the daemon's keys: {}", chain(&error))));
        }
    };
    match Client::connect(endpoint.address, &credentials).await {
        Ok(client) => Ok(Some((endpoint, client))),
        Err(_) if !endpoint.is_alive() => Ok(None),
        Err(error) => Err(Failure::environment(format!(
            "the daemon (process {}) does not answer: {}",
            endpoint.pid,
            chain(&error)
        ))
        .with_hint(Some("`farm daemon logs` shows what it does; `farm daemon stop` ends it"))),
    }
}

async fn replace(client: &Client, endpoint: &Endpoint, told: &mut bool) -> Result<(), Failure> {
    if !*told {
        *told = true;
        progress::complain(&format!(
            "waiting for the daemon of version {} (process {}) to become idle",
            endpoint.version, endpoint.pid
        ));
    }
    match client.request(Request::Stop(Stop::WhenIdle)).await {
        Ok(Reply::Refused(refusal)) => Err(Failure::refused(&refusal)),
        // A daemon that went away meanwhile is what was wanted.
        Ok(_) | Err(_) => Ok(()),
    }
}
