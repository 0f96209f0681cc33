//! `farm pull`: an image of a registry is kept in the farm.

use farm_model::Platform;
use farm_proto::client::{Reply, Request};
use farm_proto::transfer::PullRequest;

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::transfer;

/// Arguments of `farm pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the image
    #[arg(value_name = "NAME")]
    name: String,

    /// Platform of the image [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    #[command(flatten)]
    connection: Options,
}

/// Pulls, and prints the name.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name =
        arguments.name.parse().map_err(|error| Failure::usage(format!("`{}`: {error}", arguments.name)))?;
    let platform = match &arguments.platform {
        Some(text) => {
            text.parse().map_err(|error| Failure::usage(format!("`--platform {text}`: {error}")))?
        }
        None => Platform::host(),
    };
    let request = Request::Pull(Box::new(PullRequest { name, platform }));
    crate::block_on(async {
        let client = connection::connect_configured(&arguments.connection).await?;
        let Reply::Image(image) = transfer::follow(&client, request).await? else {
            return Err(Failure::unexpected());
        };
        crate::show::text(&format!("{}\n", image.summary.name))
    })
}
