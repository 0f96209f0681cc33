//! `farm pin` and `farm unpin`.

use farm_proto::client::{Pinning, Reply, Request};

use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;

/// Arguments of `farm pin` and `farm unpin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    #[command(flatten)]
    connection: Options,
}

/// Keeps an image under its name, or no longer than others.
pub(crate) fn run(arguments: Arguments, pinning: Pinning) -> Result<(), Failure> {
    crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let Reply::Done = ask(&client, Request::Pin { image: arguments.image, pinning }).await? else {
            return Err(Failure::unexpected());
        };
        Ok(())
    })
}
