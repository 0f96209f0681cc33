//! `farm worker`: runs steps for a coordinator, with a store of its own.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;

use crate::failure::{Failure, chain};
use crate::interrupt::Interrupts;
use crate::isolation::Isolation;
use crate::{config, connection, parts, paths, progress};

const NOTES: &str = "\
It needs root: steps mount file systems and write files of other owners. Its name is the one in its
certificate. Layers that it lacks come from other workers, else from the coordinator.

Files:
  /etc/farm/farm.toml                  slots, labels, runtime and limits of steps (FARM_CONFIG)
  /etc/farm/certificates               ca.pem, cert.pem, key.pem (FARM_CERTIFICATES)
  /var/lib/farm                        layers and cache mounts (FARM_STATE_DIR)
  /run/farm                            what runs right now (FARM_RUNTIME_DIR)";

/// Arguments of `farm worker`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub(crate) struct Arguments {
    /// Coordinator to work for
    #[arg(long, value_name = "HOST:PORT", env = "FARM_COORDINATOR")]
    coordinator: String,

    /// Address that other workers fetch layers from
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7401")]
    listen: SocketAddr,

    /// How other workers reach that address [default: the address that leads to the coordinator]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,

    /// Directory with `ca.pem`, `cert.pem` and `key.pem` [default: certificates beside farm.toml]
    #[arg(long, value_name = "DIR", env = "FARM_CERTIFICATES")]
    certificates: Option<PathBuf>,

    /// Another configuration file
    #[arg(long, value_name = "FILE", env = "FARM_CONFIG")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    paths::require_root()?;
    let runtime = crate::runtime()?;
    let result = runtime.block_on(serve(arguments));
    runtime.shutdown_timeout(crate::PARTING);
    result
}

async fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
    let config = config::load(arguments.config.as_deref())?;
    let credentials = parts::credentials(&parts::certificates(arguments.certificates.as_deref())?)?;
    let coordinator = connection::resolve(&arguments.coordinator)?;
    let endpoint = parts::bind(arguments.listen, &credentials)?;
    let listening = parts::local_address(&endpoint)?;
    let address = match &arguments.advertise {
        Some(address) => Some(address.clone()),
        None => advertised(listening, coordinator),
    };
    let store = tokio::task::spawn_blocking(parts::open_store);
    let isolation = Isolation::chosen(&config)?;
    let executor = tokio::task::spawn_blocking(move || parts::open_executor(&isolation));
    let store = store.await.map_err(|panic| Failure::internal(panic.to_string()))??;
    let executor = executor.await.map_err(|panic| Failure::internal(panic.to_string()))??;
    let worker = parts::worker(&store, executor, &config, address);
    progress::complain(&format!("worker ready on {listening}, working for {coordinator}"));
    let stop = async { interrupts.requested().await };
    worker.serve_remote(endpoint, coordinator, stop).await;
    match tokio::task::spawn_blocking(move || store.sync()).await {
        Ok(Err(error)) => {
            Err(Failure::environment(format!("the store could not be synced: {}", chain(&error))))
        }
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// Where others reach us: the listening address, or where it is any address, the one from which the coordinator is reached.
fn advertised(listening: SocketAddr, coordinator: SocketAddr) -> Option<String> {
    if !listening.ip().is_unspecified() {
        return Some(listening.to_string());
    }
    let any: SocketAddr = if coordinator.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().ok()?;
    // Connecting a datagram socket sends nothing; it only chooses the route.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(coordinator).ok()?;
    let own = socket.local_addr().ok()?;
    Some(SocketAddr::new(own.ip(), listening.port()).to_string())
}
