//! `farm images files`: a directory of an image, or of one of its layers.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt as _;

use farm_proto::client::{Reply, Request};
use farm_proto::image_query::{DirectoryListing, EntriesRequest, EntryKind, EntryRow, EntryStanding};
use serde_json::json;

use super::{path, print_json};
use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

const NOTES: &str = "\
Without `--layer` the files of the whole image are listed, each with the number of the layer that
it comes from; symbolic links are followed. With it, what that layer holds:
  A  added       C  other contents       M  other mode or owner       D  deleted
  t  only its time is new                .  something in the directory differs

Examples:
  farm images files shop:1 /usr/lib
  farm images files shop:1 / --layer 3 --json";

/// Arguments of `farm images files`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Directory or file in it
    #[arg(value_name = "PATH", default_value = "/")]
    path: OsString,

    /// Only what this layer holds, from 0 for the lowest
    #[arg(long, value_name = "NUMBER")]
    layer: Option<u32>,

    /// How many entries to leave out at the start
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    skip: u32,

    /// How many entries to list, 10000 at most
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: u32,

    /// As JSON; sizes in bytes
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let listing = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let request = EntriesRequest {
            image: arguments.image.clone(),
            layer: arguments.layer,
            path: arguments.path.clone().into_vec(),
            skip: arguments.skip,
            limit: arguments.limit,
        };
        let Reply::Entries(listing) = ask(&client, Request::Entries(Box::new(request))).await? else {
            return Err(Failure::unexpected());
        };
        Ok(*listing)
    })?;
    if arguments.json {
        return print_json(&as_json(&listing));
    }
    let against = if arguments.layer.is_some() { Against::Below } else { Against::Nothing };
    let rows = listing.rows.iter().map(|row| columns(row, against)).collect();
    let mut out = show::table(rows);
    if listing.more > 0 {
        let _infallible = writeln!(out, "and {} more", listing.more);
    }
    show::text(&out)
}

/// What entries are compared with.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Against {
    Below,
    Nothing,
}

fn columns(row: &EntryRow, against: Against) -> Vec<String> {
    let place = match against {
        Against::Below => letter(row.standing).to_owned(),
        Against::Nothing => format!("layer {}", row.layer),
    };
    let removed = row.kind == EntryKind::Removed;
    let bytes = if removed { row.before_bytes.unwrap_or(0) } else { row.bytes };
    let change = match (against, row.before_bytes) {
        (Against::Below, Some(before)) if !removed && row.kind == EntryKind::File => {
            show::change(before, row.bytes)
        }
        _ => String::new(),
    };
    let entries =
        if row.kind == EntryKind::Directory { format!("{} entries", row.entries) } else { String::new() };
    let name = farm_tree::path::text(&row.name);
    let name = match (&row.target, row.kind) {
        (Some(target), EntryKind::Symlink) => format!("{name} -> {}", farm_tree::path::text(target)),
        (Some(first), _) if farm_tree::path::name(first) != row.name => format!("{name} = {}", path(first)),
        (_, EntryKind::Directory) if row.opaque => format!("{name}/ (hides what is below)"),
        (_, EntryKind::Directory) => format!("{name}/"),
        _ => name,
    };
    let owner = if removed { String::new() } else { format!("{}:{}", row.uid, row.gid) };
    vec![place, mode(row), owner, size(bytes), change, entries, name]
}

/// As `ls -l` shows it.
fn mode(row: &EntryRow) -> String {
    let kind = match row.kind {
        EntryKind::Directory => 'd',
        EntryKind::File => '-',
        EntryKind::Symlink => 'l',
        EntryKind::Character { .. } => 'c',
        EntryKind::Block { .. } => 'b',
        EntryKind::Fifo => 'p',
        EntryKind::Removed => return String::new(),
    };
    let mut text = String::from(kind);
    for (shift, special, lower, upper) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = row.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, row.mode & special != 0) {
            (true, true) => lower,
            (false, true) => upper,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn letter(standing: EntryStanding) -> &'static str {
    match standing {
        EntryStanding::Added => "A",
        EntryStanding::Removed => "D",
        EntryStanding::Contents => "C",
        EntryStanding::Metadata => "M",
        EntryStanding::Within => ".",
        EntryStanding::Touched => "t",
        EntryStanding::Same => "=",
    }
}

fn as_json(listing: &DirectoryListing) -> serde_json::Value {
    let row = |row: &EntryRow| {
        let (kind, device) = match row.kind {
            EntryKind::Directory => ("directory", None),
            EntryKind::File => ("file", None),
            EntryKind::Symlink => ("symlink", None),
            EntryKind::Character { major, minor } => ("character device", Some([major, minor])),
            EntryKind::Block { major, minor } => ("block device", Some([major, minor])),
            EntryKind::Fifo => ("fifo", None),
            EntryKind::Removed => ("removed", None),
        };
        let standing = match row.standing {
            EntryStanding::Added => "added",
            EntryStanding::Removed => "removed",
            EntryStanding::Contents => "contents",
            EntryStanding::Metadata => "metadata",
            EntryStanding::Within => "within",
            EntryStanding::Touched => "touched",
            EntryStanding::Same => "same",
        };
        json!({
            "name": farm_tree::path::text(&row.name), "kind": kind, "device": device,
            "mode": format!("{:04o}", row.mode), "uid": row.uid, "gid": row.gid, "mtime": row.mtime,
            "bytes": row.bytes, "entries": row.entries,
            "target": row.target.as_deref().map(farm_tree::path::text), "opaque": row.opaque,
            "standing": standing, "before_bytes": row.before_bytes, "layer": row.layer,
        })
    };
    json!({
        "path": path(&listing.path), "entries": listing.rows.iter().map(row).collect::<Vec<_>>(),
        "more": listing.more, "layers": listing.layers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_shows_them() {
        let row = |kind, mode| EntryRow {
            name: b"x".to_vec(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            bytes: 0,
            entries: 0,
            target: None,
            opaque: false,
            standing: EntryStanding::Same,
            before_bytes: None,
            layer: 0,
        };
        let shown = [
            mode(&row(EntryKind::Directory, 0o1777)),
            mode(&row(EntryKind::File, 0o4755)),
            mode(&row(EntryKind::File, 0o2640)),
            mode(&row(EntryKind::Removed, 0)),
        ];
        assert_eq!(shown, ["drwxrwxrwt", "-rwsr-xr-x", "-rw-r-S---", ""]);
    }
}
