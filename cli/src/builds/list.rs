//! `farm builds list`.

use farm_proto::client::{BuildState, BuildSummary};
use serde_json::json;

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

/// Arguments of `farm builds list`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many; 0 means all
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    limit: u32,

    /// As JSON, an object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = connection::connect(&arguments.connection).await?;
    let builds = super::all(&client, arguments.limit).await?;
    if arguments.json {
        let lines: String = show::lines(builds.iter().map(as_json));
        return show::text(&lines);
    }
    let heading = ["BUILD", "STARTED", "TOOK", "STATE", "CACHED", "SIZE", "WHAT"].map(str::to_owned).to_vec();
    let rows = std::iter::once(heading).chain(builds.iter().map(row));
    show::text(&show::table(rows.collect()))
}

/// How a build is, in one word.
pub(super) fn state(state: BuildState) -> &'static str {
    match state {
        BuildState::Running => "running",
        BuildState::Succeeded => "succeeded",
        BuildState::Failed => "failed",
        BuildState::Cancelled => "cancelled",
        BuildState::Interrupted => "interrupted",
    }
}

fn row(build: &BuildSummary) -> Vec<String> {
    let what = if build.names.is_empty() { build.context.clone() } else { build.names.join(", ") };
    vec![
        build.build.to_string(),
        show::ago(build.started),
        show::span(build.micros),
        state(build.state).to_owned(),
        format!("{}/{}", build.cached, build.steps),
        build.image_bytes.map(size).unwrap_or_default(),
        what,
    ]
}

fn as_json(build: &BuildSummary) -> serde_json::Value {
    json!({
        "build": build.build.to_string(), "started": build.started, "micros": build.micros,
        "state": state(build.state), "dockerfile": build.dockerfile, "context": build.context,
        "target": build.target, "names": build.names, "steps": build.steps, "cached": build.cached,
        "done": build.done, "image_bytes": build.image_bytes, "client": build.client,
    })
}
