//! `farm daemon`: the coordinator, worker and store of one user in a process of their own.

pub(crate) mod endpoint;
mod log;
mod serve;
pub(crate) mod start;

use std::time::{Duration, Instant};

use farm_proto::client::{Reply, Request, Stop};

use crate::connection::{self, Options};
use crate::failure::{Failure, chain};
use crate::{progress, show};

/// What the daemon writes to the pipe of whoever started it once it can be reached.
const READY: &str = "ready";
/// How long a daemon that was asked to stop may take.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(10);

/// Arguments of `farm daemon`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start the daemon, unless it runs already; every command that needs it does so by itself
    Start(Configured),
    /// End the daemon; builds that run are interrupted, and can be taken up again
    Stop {
        /// Wait until no build runs any more; new ones are refused meanwhile
        #[arg(long)]
        when_idle: bool,
    },
    /// Say how the daemon is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the daemon has to say
    Logs {
        /// How many lines, from the end
        #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
        lines: usize,
    },
    /// Be the daemon
    #[command(hide = true)]
    Serve(Configured),
}

#[derive(Debug, clap::Args)]
struct Configured {
    /// Another configuration file
    #[arg(long, value_name = "FILE", env = "FARM_CONFIG")]
    config: Option<std::path::PathBuf>,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Start(configured) => {
            start::start(&Options { config: configured.config, ..Options::default() })?;
            crate::block_on(status(false))
        }
        Command::Stop { when_idle } => crate::block_on(stop(when_idle)),
        Command::Status { json } => crate::block_on(status(json)),
        Command::Logs { lines } => show::text(&format!("{}\n", log::tail(&log::path(), lines))),
        Command::Serve(configured) => serve::serve(configured.config.as_deref()),
    }
}

async fn status(json: bool) -> Result<(), Failure> {
    let Some((_, client)) = connection::running().await? else {
        return progress::print(if json { "null" } else { "no daemon runs" }).map_err(show::closed);
    };
    let reply = client.request(Request::Status).await.map_err(|error| Failure::connection(&error))?;
    let Reply::Status(status) = reply else { return Err(Failure::unexpected()) };
    show::status(&status, json)
}

async fn stop(when_idle: bool) -> Result<(), Failure> {
    let Some((endpoint, client)) = connection::running().await? else {
        return progress::print("no daemon runs").map_err(show::closed);
    };
    let when = if when_idle { Stop::WhenIdle } else { Stop::Now };
    match client.request(Request::Stop(when)).await {
        Ok(Reply::Refused(refusal)) => return Err(Failure::refused(&refusal)),
        Ok(_) => {}
        // Gone before it could answer: that is what was wanted.
        Err(_) if !endpoint.is_alive() => {}
        Err(error) => return Err(Failure::environment(format!("cannot stop the daemon: {}", chain(&error)))),
    }
    let asked = Instant::now();
    while endpoint.is_alive() {
        if !when_idle && asked.elapsed() > PATIENCE {
            let message = format!("process {} was asked to stop and is still there", endpoint.pid);
            return Err(Failure::environment(message).with_hint(Some(format!("kill {}", endpoint.pid))));
        }
        tokio::time::sleep(RETRY).await;
    }
    Ok(())
}
