//! `farm tag` and `farm rmi`.

use farm_proto::client::{Reply, Request};

use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::{show, transfer};

/// Arguments of `farm tag`.
#[derive(Debug, clap::Args)]
pub(crate) struct TagArguments {
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The name that it gets besides
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    connection: Options,
}

/// Arguments of `farm rmi`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArguments {
    /// Names, or ids for all names of an image
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    #[command(flatten)]
    connection: Options,
}

/// Gives an image another name.
pub(crate) fn tag(arguments: &TagArguments) -> Result<(), Failure> {
    let name = transfer::name(&arguments.name)?;
    crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let Reply::Done = ask(&client, Request::Tag { image: arguments.image.clone(), name }).await? else {
            return Err(Failure::unexpected());
        };
        Ok(())
    })
}

/// Takes names away.
pub(crate) fn remove(arguments: RemoveArguments) -> Result<(), Failure> {
    crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let Reply::Removed(names) = ask(&client, Request::Remove { images: arguments.images }).await? else {
            return Err(Failure::unexpected());
        };
        show::text(&show::lines(names.iter().map(|name| format!("removed {name}"))))
    })
}
