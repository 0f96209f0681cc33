//! `farm images shared`: layers that several images have, and what all of them take together.

use std::fmt::Write as _;

use farm_proto::client::{Reply, Request};
use farm_proto::image_query::{SharedBytes, SharedLayer, SharingRow};
use serde_json::json;

use super::{instruction, print_json, short};
use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

/// Shared layers that the text tells of.
const TOLD: usize = 20;

/// Arguments of `farm images shared`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// As JSON; sizes in bytes
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shared = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let Reply::Sharing(shared) = ask(&client, Request::Sharing).await? else {
            return Err(Failure::unexpected());
        };
        Ok(*shared)
    })?;
    if arguments.json { print_json(&as_json(&shared)) } else { show::text(&text(&shared)) }
}

fn text(shared: &SharedBytes) -> String {
    let mut rows = vec![["IMAGE", "LAYERS", "OWN", "SHARED"].map(str::to_owned).to_vec()];
    for image in &shared.images {
        let name = image.names.first().cloned().unwrap_or_else(|| short(&image.id).to_owned());
        rows.push(vec![name, size(image.bytes), size(image.own_bytes), size(image.shared_bytes)]);
    }
    let mut out = show::table(rows);
    if !shared.layers.is_empty() {
        let mut rows = vec![["SIZE", "IMAGES", "INSTRUCTION"].map(str::to_owned).to_vec()];
        for layer in shared.layers.iter().take(TOLD) {
            let base = if layer.base { "base: " } else { "" };
            let made = format!("{base}{}", instruction(&layer.created_by));
            rows.push(vec![size(layer.bytes), layer.images.len().to_string(), made]);
        }
        let _infallible = write!(out, "\n{}", show::table(rows));
    }
    let _infallible = writeln!(
        out,
        "\nall layers take {}, each counted once; they would take {} if nothing were shared",
        size(shared.bytes),
        size(shared.bytes_apart),
    );
    out
}

fn as_json(shared: &SharedBytes) -> serde_json::Value {
    let image = |image: &SharingRow| {
        json!({
            "names": image.names, "id": image.id, "bytes": image.bytes, "own_bytes": image.own_bytes,
            "shared_bytes": image.shared_bytes,
        })
    };
    let layer = |layer: &SharedLayer| {
        json!({
            "digest": layer.digest, "created_by": layer.created_by, "base": layer.base, "bytes": layer.bytes,
            "entries": layer.entries, "packed_bytes": layer.packed_bytes, "images": layer.images,
        })
    };
    json!({
        "bytes": shared.bytes, "bytes_apart": shared.bytes_apart, "more": shared.more,
        "images": shared.images.iter().map(image).collect::<Vec<_>>(),
        "layers": shared.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}
