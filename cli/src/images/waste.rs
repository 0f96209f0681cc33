//! `farm images waste`: what the layers of an image hold in vain.

use std::fmt::Write as _;

use farm_proto::client::{Reply, Request};
use farm_proto::image_query::{ImageWaste, WasteCause, WasteRow, WasteShare, WastedFile};
use serde_json::json;

use super::{instruction, path, print_json};
use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

/// Files that the text tells of.
const TOLD: usize = 10;

const NOTES: &str = "\
Columns, in bytes of the layer:
  OVERWRITTEN  files that a later layer replaces by others
  DELETED      files that a later layer deletes; they are in the image all the same
  TOUCHED      files that an earlier layer has with the same content, such as after chown
  DUPLICATED   files whose content lies at another path of the image too

EFFICIENCY is the part of the layers' bytes that the image shows; duplicates are shown.";

/// Arguments of `farm images waste`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// So many of the worst files of each kind in each layer
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    worst: u32,

    /// As JSON; sizes in bytes
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let waste = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let request = Request::Waste { image: arguments.image.clone(), worst: arguments.worst };
        let Reply::Waste(waste) = ask(&client, request).await? else {
            return Err(Failure::unexpected());
        };
        Ok(*waste)
    })?;
    if arguments.json { print_json(&as_json(&waste)) } else { show::text(&text(&waste)) }
}

fn text(waste: &ImageWaste) -> String {
    let heading =
        ["LAYER", "SIZE", "ENTRIES", "OVERWRITTEN", "DELETED", "TOUCHED", "DUPLICATED", "INSTRUCTION"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let bytes = |share: &WasteShare| if share.files == 0 { String::new() } else { size(share.bytes) };
    for (number, layer) in waste.layers.iter().enumerate() {
        rows.push(vec![
            format!("{number}{}", if layer.base { " base" } else { "" }),
            size(layer.bytes),
            layer.entries.to_string(),
            bytes(&layer.overwritten),
            bytes(&layer.deleted),
            bytes(&layer.touched),
            bytes(&layer.duplicated),
            instruction(&layer.created_by),
        ]);
    }
    let mut out = show::table(rows);
    let duplicated = waste.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.duplicated.bytes));
    let _infallible = writeln!(
        out,
        "\nefficiency {}: of {} in layers {} are not seen in the image; {} are seen more than once",
        percent(waste.seen, waste.bytes),
        size(waste.bytes),
        size(waste.wasted),
        size(duplicated),
    );
    let worst = worst(waste);
    if !worst.is_empty() {
        out.push('\n');
        out.push_str(&show::table(worst));
    }
    out
}

/// The worst files of all layers.
fn worst(waste: &ImageWaste) -> Vec<Vec<String>> {
    let mut files: Vec<(u64, Vec<String>)> = Vec::new();
    for (number, layer) in waste.layers.iter().enumerate() {
        for (word, share) in shares(layer) {
            for file in &share.worst {
                let because = match &file.because {
                    WasteCause::Layer(other) if word == "touched" => format!("as in layer {other}"),
                    WasteCause::Layer(other) => format!("{word} by layer {other}"),
                    WasteCause::Path(twin) => format!("the same as {}", path(twin)),
                };
                let row = vec![size(file.bytes), format!("layer {number}"), path(&file.path), because];
                files.push((file.bytes, row));
            }
        }
    }
    files.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    files.into_iter().take(TOLD).map(|(_, row)| row).collect()
}

fn shares(layer: &WasteRow) -> [(&'static str, &WasteShare); 4] {
    [
        ("overwritten", &layer.overwritten),
        ("deleted", &layer.deleted),
        ("touched", &layer.touched),
        ("duplicated", &layer.duplicated),
    ]
}

/// A part in tenths of a percent; nothing is the whole of nothing.
fn percent(part: u64, whole: u64) -> String {
    let thousandths = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or(1000);
    format!("{}.{}%", thousandths / 10, thousandths % 10)
}

fn as_json(waste: &ImageWaste) -> serde_json::Value {
    let file = |file: &WastedFile| match &file.because {
        WasteCause::Layer(layer) => json!({"path": path(&file.path), "bytes": file.bytes, "layer": layer}),
        WasteCause::Path(twin) => {
            json!({"path": path(&file.path), "bytes": file.bytes, "same_as": path(twin)})
        }
    };
    let share = |share: &WasteShare| {
        let worst: Vec<_> = share.worst.iter().map(file).collect();
        json!({"files": share.files, "bytes": share.bytes, "worst": worst})
    };
    let layer = |layer: &WasteRow| {
        json!({
            "digest": layer.digest, "created_by": layer.created_by, "base": layer.base, "bytes": layer.bytes,
            "entries": layer.entries, "overwritten": share(&layer.overwritten), "deleted": share(&layer.deleted),
            "touched": share(&layer.touched), "duplicated": share(&layer.duplicated),
        })
    };
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let efficiency = if waste.bytes == 0 { 1.0 } else { waste.seen as f64 / waste.bytes as f64 };
    json!({
        "name": waste.name, "bytes": waste.bytes, "seen_bytes": waste.seen, "wasted_bytes": waste.wasted,
        "efficiency": efficiency, "layers": waste.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_a_tenth_and_nothing_is_whole() {
        assert_eq!([percent(1, 3), percent(0, 0), percent(5, 5)], ["33.3%", "100.0%", "100.0%"]);
    }
}
