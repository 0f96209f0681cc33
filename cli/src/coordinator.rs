//! `farm coordinator`: the brain of a farm, with a store of its own and without a worker.

use std::net::SocketAddr;
use std::path::PathBuf;

use farm_coordinator::Paths;

use crate::failure::{Failure, chain};
use crate::interrupt::Interrupts;
use crate::{config, parts, paths, progress};

const NOTES: &str = "\
It needs root, because base images are unpacked with the owners that they name. Its certificate has the role
`coordinator`; every client and worker proves its own role with one from the same authority.

Files:
  /etc/farm/farm.toml                  registries, mirrors (FARM_CONFIG)
  /etc/farm/certificates               ca.pem, cert.pem, key.pem (FARM_CERTIFICATES)
  /var/lib/farm                        results of all builds, history, logs (FARM_STATE_DIR)";

/// Arguments of `farm coordinator`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
pub(crate) struct Arguments {
    /// Address that clients and workers connect to
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7400")]
    listen: SocketAddr,

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
    let endpoint = parts::bind(arguments.listen, &credentials)?;
    let store = tokio::task::spawn_blocking(parts::open_store);
    let store = store.await.map_err(|panic| Failure::internal(panic.to_string()))??;
    let coordinator = parts::coordinator(store.clone(), &config, Paths::Refused)?;
    progress::complain(&format!("coordinator ready on {}", parts::local_address(&endpoint)?));
    tokio::select! {
        () = coordinator.serve(endpoint) => {}
        () = interrupts.requested() => {}
        () = parts::rest(&coordinator, None) => {}
    }
    coordinator.shutdown().await;
    drop(coordinator);
    match tokio::task::spawn_blocking(move || store.sync()).await {
        Ok(Err(error)) => {
            Err(Failure::environment(format!("the store could not be synced: {}", chain(&error))))
        }
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}
