//! `farm diff`: what two images differ in.

use std::fmt::Write as _;

use farm_proto::client::{Reply, Request};
use farm_proto::image_query::{
    ComparedImage, DifferenceKind, DifferenceRow, DifferenceSum, ImageComparison, PathExtent,
};
use serde_json::json;

use super::{path, print_json};
use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

const NOTES: &str = "\
The files of both images are compared, times apart; the heaviest differences come first:
  A  added       C  other contents       M  other mode or owner       D  deleted

Examples:
  farm diff shop:1 shop:2
  farm diff --json --limit 10000 debian:bookworm shop:1";

/// Arguments of `farm diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// Name or id of an image
    #[arg(value_name = "BEFORE")]
    before: String,

    /// Name or id of the other
    #[arg(value_name = "AFTER")]
    after: String,

    /// How many differences to list, 10000 at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,

    /// As JSON; sizes in bytes
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let compared = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let (before, after) = (arguments.before.clone(), arguments.after.clone());
        let request = Request::Compare { before, after, limit: arguments.limit };
        let Reply::Compared(compared) = ask(&client, request).await? else {
            return Err(Failure::unexpected());
        };
        Ok(*compared)
    })?;
    if arguments.json { print_json(&as_json(&compared)) } else { show::text(&text(&compared)) }
}

fn text(compared: &ImageComparison) -> String {
    let mut out = show::table(compared.rows.iter().map(columns).collect());
    if compared.more > 0 {
        let _infallible = writeln!(out, "and {} more", compared.more);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let image = |image: &ComparedImage| {
        vec![image.name.clone(), size(image.bytes), format!("{} entries", image.entries)]
    };
    let sum = |word: &str, sum: &DifferenceSum| {
        vec![word.to_owned(), show::change(sum.before, sum.after), format!("{} entries", sum.entries)]
    };
    let metadata = format!("{} entries", compared.metadata);
    out.push_str(&show::table(vec![
        image(&compared.before),
        image(&compared.after),
        sum("added", &compared.added),
        sum("deleted", &compared.removed),
        sum("changed", &compared.changed),
        vec!["mode or owner".to_owned(), String::new(), metadata],
        vec!["in all".to_owned(), show::change(compared.before.bytes, compared.after.bytes)],
    ]));
    out
}

fn columns(row: &DifferenceRow) -> Vec<String> {
    let bytes = |extent: Option<PathExtent>| extent.map_or(0, |extent| extent.bytes);
    let extent = row.after.or(row.before);
    let entries = extent.filter(|extent| extent.directory && extent.entries > 1);
    let inside = entries.map(|extent| format!(" ({} entries)", extent.entries - 1)).unwrap_or_default();
    let slash = if extent.is_some_and(|extent| extent.directory) && !row.path.is_empty() { "/" } else { "" };
    vec![
        letter(row.kind).to_owned(),
        show::change(bytes(row.before), bytes(row.after)),
        size(bytes(extent)),
        format!("{}{slash}{inside}", path(&row.path)),
    ]
}

fn letter(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Added => "A",
        DifferenceKind::Removed => "D",
        DifferenceKind::Contents => "C",
        DifferenceKind::Metadata => "M",
    }
}

fn as_json(compared: &ImageComparison) -> serde_json::Value {
    let image = |image: &ComparedImage| json!({"name": image.name, "id": image.id, "bytes": image.bytes, "entries": image.entries});
    let sum = |sum: &DifferenceSum| json!({"entries": sum.entries, "before_bytes": sum.before, "after_bytes": sum.after});
    let extent = |extent: PathExtent| json!({"bytes": extent.bytes, "entries": extent.entries, "directory": extent.directory});
    let row = |row: &DifferenceRow| {
        let kind = match row.kind {
            DifferenceKind::Added => "added",
            DifferenceKind::Removed => "deleted",
            DifferenceKind::Contents => "contents",
            DifferenceKind::Metadata => "metadata",
        };
        json!({
            "path": path(&row.path), "kind": kind, "before": row.before.map(extent),
            "after": row.after.map(extent),
        })
    };
    json!({
        "before": image(&compared.before), "after": image(&compared.after), "more": compared.more,
        "differences": compared.rows.iter().map(row).collect::<Vec<_>>(), "added": sum(&compared.added),
        "deleted": sum(&compared.removed), "changed": sum(&compared.changed), "metadata": compared.metadata,
    })
}
