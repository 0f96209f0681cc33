//! `farm why`: why steps of a build ran instead of being found in the cache.

mod fold;
mod reason;

pub(crate) use fold::{Fold, Tense};
pub(crate) use reason::sentence;

use farm_client::Client;
use farm_proto::client::{Reply, Request};

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::{builds, show};

const NOTES: &str = "\
Examples:
  farm why                   every step of the last build that ran, and why
  farm why shop:1            the same of the build that made this image
  farm why shop:1:build.3    the third step of its stage `build`
  farm why 'shop:1:go build' steps of it whose instruction contains that
  farm why 4be1              the same of a build, by its id

`farm build --plan` says the same before a build.";

/// Arguments of `farm why`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// An image or a build, and optionally one of its steps: its stage, `STAGE.NUMBER`, or a part of its instruction
    /// [default: the last build]
    #[arg(value_name = "IMAGE[:STEP]")]
    what: Option<String>,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let (build, step) = find(&client, arguments.what.as_deref()).await?;
        let mut fold = Fold::default();
        builds::replay(&client, build, |event| fold.apply(&event.event)).await?;
        show::text(&fold.render(Tense::Past, step.as_deref())?)
    })
}

/// The build that is meant, and the step of it.
async fn find(client: &Client, what: Option<&str>) -> Result<(farm_model::BuildId, Option<String>), Failure> {
    let Some(what) = what else { return Ok((builds::latest(client).await?, None)) };
    if let Some(build) = build_of(client, what).await? {
        return Ok((build, None));
    }
    if let Some((name, step)) = what.rsplit_once(':')
        && let Some(build) = build_of(client, name).await?
    {
        return Ok((build, Some(step.to_owned())));
    }
    Err(Failure::usage(format!("there is no image and no build `{what}`"))
        .with_hint(Some("`farm images` and `farm builds list` show what there is")))
}

/// The build that made an image of that name, or that has that id.
pub(crate) async fn build_of(client: &Client, name: &str) -> Result<Option<farm_model::BuildId>, Failure> {
    let request = Request::Inspect { image: name.to_owned() };
    if let Reply::Image(image) = client.request(request).await.map_err(|error| Failure::connection(&error))? {
        return match image.summary.build {
            Some(build) => Ok(Some(build)),
            None => Err(Failure::usage(format!("`{name}` was not built here"))),
        };
    }
    builds::named(client, name).await
}
