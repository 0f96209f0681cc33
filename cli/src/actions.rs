//! `farm actions`: what people did to the farm.

use farm_model::event::{Action, Deed, FarmEvent, encoding};
use farm_proto::client::{Reply, Request};
use serde_json::json;

use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

const NOTES: &str = "\
Kept are the newest 10,000 of: builds cancelled, steps moved, workers drained and restored, images pinned
and unpinned, prunes; also those that were refused, with the reason.";

/// Arguments of `farm actions`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// How many; 0 means all
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    limit: u32,

    /// As JSON, an object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Shows them, the newest first.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let actions = crate::block_on(async {
        let (client, _) = connection::connect_to_watch(&arguments.connection).await?;
        let Reply::Actions(actions) = ask(&client, Request::Actions { limit: arguments.limit }).await? else {
            return Err(Failure::unexpected());
        };
        Ok(actions)
    })?;
    // What a later version of the coordinator keeps is not for this one to show.
    let actions = actions.iter().filter_map(|bytes| match encoding::decode_farm(bytes).ok()?.event {
        FarmEvent::Acted(action) => Some(action),
        FarmEvent::Began { .. }
        | FarmEvent::CaughtUp
        | FarmEvent::Past(_)
        | FarmEvent::Build { .. }
        | FarmEvent::Worker(_)
        | FarmEvent::WorkerLost { .. }
        | FarmEvent::Load { .. }
        | FarmEvent::Store(_) => None,
    });
    if arguments.json {
        return show::text(&show::lines(actions.map(|action| as_json(&action))));
    }
    let heading = ["TIME", "WHO", "WHAT", "OF", "REFUSED"].map(str::to_owned).to_vec();
    let rows = std::iter::once(heading).chain(actions.map(row));
    show::text(&show::table(rows.collect()))
}

/// What was done, and to what.
fn words(deed: &Deed) -> (&'static str, String) {
    match deed {
        Deed::Cancelled { build } => ("cancelled", format!("build {build}")),
        Deed::Moved { build, step } => {
            ("moved", format!("build {build}, stage {}, step {}", step.stage.0, step.index))
        }
        Deed::Drained { worker } => ("drained", format!("worker {worker}")),
        Deed::Restored { worker } => ("restored", format!("worker {worker}")),
        Deed::Pinned { image } => ("pinned", format!("image {image}")),
        Deed::Unpinned { image } => ("unpinned", format!("image {image}")),
        Deed::Pruned { bytes } => ("pruned", size(*bytes)),
    }
}

fn row(action: Action) -> Vec<String> {
    let (what, of) = words(&action.deed);
    let refused = action.refused.unwrap_or_default();
    vec![show::date(action.time), action.by, what.to_owned(), of, refused]
}

fn as_json(action: &Action) -> serde_json::Value {
    let (what, of) = words(&action.deed);
    let of = match &action.deed {
        Deed::Cancelled { build } => json!({ "build": build.to_string() }),
        Deed::Moved { build, step } => {
            json!({ "build": build.to_string(), "stage": step.stage.0, "step": step.index })
        }
        Deed::Drained { worker } | Deed::Restored { worker } => json!({ "worker": worker.0 }),
        Deed::Pinned { image } | Deed::Unpinned { image } => json!({ "image": image }),
        Deed::Pruned { bytes } => json!({ "bytes": bytes, "text": of }),
    };
    json!({ "time": action.time, "by": action.by, "did": what, "of": of, "refused": action.refused })
}
