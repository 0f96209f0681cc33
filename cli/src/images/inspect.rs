//! `farm inspect`.

use serde_json::json;

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::show;

/// Arguments of `farm inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Names or ids of images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let all = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let mut all = Vec::with_capacity(arguments.images.len());
        for image in &arguments.images {
            all.push(as_json(&super::details(&client, image).await?)?);
        }
        Ok(all)
    })?;
    let text = serde_json::to_string_pretty(&all).map_err(|error| Failure::internal(error.to_string()))?;
    show::text(&format!("{text}\n"))
}

fn as_json(image: &farm_proto::image::ImageDetails) -> Result<serde_json::Value, Failure> {
    let summary = &image.summary;
    let config: serde_json::Value = serde_json::from_str(&image.config).map_err(|error| {
        Failure::environment(format!("the coordinator sent a configuration that is no JSON: {error}"))
    })?;
    let layers = image.layers.iter().map(|layer| {
        json!({
            "digest": layer.digest, "bytes": layer.bytes, "entries": layer.entries,
            "packed_bytes": layer.packed_bytes, "base": layer.base,
        })
    });
    let stages = image
        .stages
        .iter()
        .map(|stage| json!({"stage": stage.stage, "bytes": stage.bytes, "kept": stage.kept}));
    let trend = image.trend.iter().map(super::trend::as_json);
    Ok(json!({
        "id": summary.id, "names": image.names, "config_digest": summary.config, "created": summary.created,
        "platform": summary.platform.to_string(), "bytes": summary.bytes, "packed_bytes": summary.packed_bytes,
        "previous_bytes": summary.previous_bytes, "discarded_bytes": summary.discarded_bytes,
        "pinned": summary.pinned, "build": summary.build.map(|build| build.to_string()), "layers": layers.collect::<Vec<_>>(),
        "stages": stages.collect::<Vec<_>>(), "config": config, "trend": trend.collect::<Vec<_>>(),
    }))
}
