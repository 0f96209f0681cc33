//! `farm load`: the images of an archive are kept in the farm.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use farm_proto::client::{Reply, Request};
use tokio::io::AsyncRead;

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::show;

/// Arguments of `farm load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Docker or OCI archive, compressed or not [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,

    #[command(flatten)]
    connection: Options,
}

/// Loads, and prints the names.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    crate::block_on(async {
        let mut archive: Box<dyn AsyncRead + Send + Unpin> = match &arguments.input {
            Some(path) => {
                let failed =
                    |error| Failure::environment(format!("cannot read `{}`: {error}", path.display()));
                Box::new(tokio::fs::File::open(path).await.map_err(failed)?)
            }
            None if std::io::stdin().is_terminal() => {
                return Err(Failure::usage("standard input is a terminal")
                    .with_hint(Some("name an archive with `--input`, or pipe one in")));
            }
            None => Box::new(tokio::io::stdin()),
        };
        let client = connection::connect(&arguments.connection).await?;
        let reply = client.upload(Request::Load, &mut *archive).await;
        let reply = reply.map_err(|error| Failure::connection(&error))?;
        if let Reply::Refused(refusal) = &reply {
            return Err(Failure::refused(refusal));
        }
        let Reply::Loaded(names) = reply else { return Err(Failure::unexpected()) };
        show::text(&show::lines(names.iter().map(|name| format!("loaded {name}"))))
    })
}
