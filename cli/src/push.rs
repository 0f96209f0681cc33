//! `farm push`: an image of the farm gets a name in a registry.

use farm_model::Reference;
use farm_proto::client::{Reply, Request};
use farm_proto::transfer::{Packing, PushRequest};

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::transfer;

const NOTES: &str = "\
Credentials are those of `farm login` and `docker login`.

Examples:
  farm push registry.example/team/shop:1
  farm push shop:1 registry.example/team/shop:1     under another name";

/// Arguments of `farm push`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// What it is to be called in its registry [default: IMAGE]
    #[arg(value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    packing: transfer::PackingArguments,

    #[command(flatten)]
    connection: Options,
}

/// Pushes, and prints the name with its digest.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { image, name, packing, connection } = arguments;
    let text = name.as_ref().unwrap_or(&image);
    let name: Reference = transfer::name(text)?;
    let packing: Packing = packing.read()?;
    let request = Request::Push(Box::new(PushRequest { image, name, packing }));
    crate::block_on(async {
        let client = connection::connect_configured(&connection).await?;
        let Reply::Pushed(pushed) = transfer::follow(&client, request).await? else {
            return Err(Failure::unexpected());
        };
        crate::progress::complain(&format!(
            "{} blobs sent ({}), {} mounted, {} there before",
            pushed.uploaded,
            size(pushed.uploaded_bytes),
            pushed.mounted,
            pushed.present
        ));
        crate::show::text(&format!("{}@{}\n", pushed.name, pushed.digest))
    })
}
