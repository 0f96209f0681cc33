//! `farm du` and `farm prune`.

use farm_proto::client::{Reply, Request};
use farm_proto::image::{NodeUsage, PruneRequest, UsageKind, UsageRow};
use serde_json::json;

use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::{complain, size};
use crate::show;

const DU_NOTES: &str = "\
Kinds:
  images        layers that named images need, each file once
  cache         layers that only later builds would use
  cache-mounts  directories of `RUN --mount=type=cache`
  packed        compressed layers that can be made again
  base-blobs    compressed layers of base images, as they came
  metadata      records, history and logs";

const PRUNE_NOTES: &str = "\
Filters:
  type=KIND       only this kind, as `farm du` names them; several are added up
  until=DURATION  only what was not used for so long, such as 90s, 30m, 24h or 7d

On a farm this is about the stores of the coordinator and of every worker that is connected.
Without `--all` only that goes which no record reaches, and what can be made again.

Examples:
  farm prune --filter type=cache-mounts
  farm prune --all --filter until=7d --keep-storage 20gb";

/// Arguments of `farm du`.
#[derive(Debug, clap::Args)]
#[command(after_help = DU_NOTES)]
pub(crate) struct UsageArguments {
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Arguments of `farm prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = PRUNE_NOTES)]
pub(crate) struct PruneArguments {
    /// Also what later builds would find in the cache
    #[arg(short, long)]
    all: bool,

    /// Only some of it
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    filters: Vec<String>,

    /// Stop once no more than this is left, such as 500mb or 20gb
    #[arg(long, value_name = "SIZE")]
    keep_storage: Option<String>,

    /// Remove nothing, only say what would go
    #[arg(long)]
    dry_run: bool,

    /// As `docker` has it; nothing is asked here
    #[arg(short, long, hide = true)]
    force: bool,

    #[command(flatten)]
    connection: Options,
}

/// Shows what takes how much.
pub(crate) fn usage(arguments: &UsageArguments) -> Result<(), Failure> {
    let nodes = crate::block_on(request(&arguments.connection, Request::DiskUsage))?;
    if arguments.json {
        let line = |(node, row): (&NodeUsage, &UsageRow)| json!({"node": node.worker, "kind": name(row.kind), "count": row.count, "bytes": row.bytes, "reclaimable": row.reclaimable});
        return show::text(&show::lines(each(&nodes).map(line)));
    }
    let heading = ["NODE", "KIND", "COUNT", "SIZE", "RECLAIMABLE"];
    let cells = |(node, row): (&NodeUsage, &UsageRow)| {
        let (kind, count) = (name(row.kind).to_owned(), row.count.to_string());
        vec![node_name(node), kind, count, size(row.bytes), size(row.reclaimable)]
    };
    show::text(&format!(
        "{}{}",
        table(&nodes, &heading, each(&nodes).map(cells)),
        totals(&nodes, "total", "")
    ))
}

/// Every row with its machine.
fn each(nodes: &[NodeUsage]) -> impl Iterator<Item = (&NodeUsage, &UsageRow)> {
    nodes.iter().flat_map(|node| node.rows.iter().map(move |row| (node, row)))
}

fn node_name(node: &NodeUsage) -> String {
    node.worker.clone().unwrap_or_else(|| "coordinator".to_owned())
}

/// A table whose first column names the machine, which is left out where there is one only.
fn table(nodes: &[NodeUsage], heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|text| (*text).to_owned()).collect();
    let skipped = usize::from(nodes.len() == 1);
    let rows = std::iter::once(heading).chain(rows);
    show::table(rows.map(|row: Vec<String>| row.into_iter().skip(skipped).collect()).collect())
}

/// The sum of each machine where there are several, and of all.
fn totals(nodes: &[NodeUsage], before: &str, after: &str) -> String {
    let sum = |rows: &[UsageRow]| size(rows.iter().map(|row| row.bytes).sum());
    let of = |node: &NodeUsage| format!("{}: {}\n", node_name(node), sum(&node.rows));
    let several: String = if nodes.len() > 1 { nodes.iter().map(of).collect() } else { String::new() };
    let all: Vec<UsageRow> = each(nodes).map(|(_, row)| row.clone()).collect();
    let sum = sum(&all);
    let words = [before, &sum, after].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
    format!("{several}{}\n", words.join(" "))
}

/// Removes what nobody needs.
pub(crate) fn prune(arguments: &PruneArguments) -> Result<(), Failure> {
    let mut prune = PruneRequest {
        kinds: Vec::new(),
        unused_for: None,
        keep_bytes: arguments.keep_storage.as_ref().map(|text| bytes(text)).transpose()?,
        all: arguments.all,
        dry_run: arguments.dry_run,
    };
    for filter in &arguments.filters {
        let invalid = |reason: &str| {
            Failure::usage(format!("`--filter {filter}`: {reason}"))
                .with_hint(Some("there are `type=KIND` and `until=DURATION`; `farm du` shows the kinds"))
        };
        match filter.split_once('=') {
            Some(("type", value)) => {
                prune.kinds.push(kind(value).ok_or_else(|| invalid("there is no such kind"))?);
            }
            Some(("until", value)) => {
                prune.unused_for = Some(seconds(value).ok_or_else(|| invalid("expected a duration"))?);
            }
            _ => return Err(invalid("unknown filter")),
        }
    }
    let nodes = crate::block_on(request(&arguments.connection, Request::Prune(prune)))?;
    let heading = ["NODE", "KIND", "COUNT", "FREED"];
    let gone = each(&nodes).filter(|(_, row)| row.count > 0);
    let cells = |(node, row): (&NodeUsage, &UsageRow)| {
        vec![node_name(node), name(row.kind).to_owned(), row.count.to_string(), size(row.bytes)]
    };
    let verb = if arguments.dry_run { "would be freed" } else { "freed" };
    show::text(&format!("{}{}", table(&nodes, &heading, gone.map(cells)), totals(&nodes, "", verb)))
}

async fn request(options: &Options, request: Request) -> Result<Vec<NodeUsage>, Failure> {
    let client = connection::connect(options).await?;
    let Reply::Usage(nodes) = ask(&client, request).await? else {
        return Err(Failure::unexpected());
    };
    for node in &nodes {
        if let Some(reason) = &node.failure {
            complain(&format!("warning: worker `{}` cannot be asked: {reason}", node_name(node)));
        }
    }
    Ok(nodes)
}

const KINDS: [(&str, UsageKind); 6] = [
    ("images", UsageKind::Images),
    ("cache", UsageKind::Cache),
    ("cache-mounts", UsageKind::CacheMounts),
    ("packed", UsageKind::Packed),
    ("base-blobs", UsageKind::BaseBlobs),
    ("metadata", UsageKind::Metadata),
];

fn name(kind: UsageKind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("other", |(name, _)| name)
}

/// A kind by our name, or by the one that `docker builder prune` has for it.
fn kind(name: &str) -> Option<UsageKind> {
    let name = if name == "exec.cachemount" { "cache-mounts" } else { name };
    KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// `90s`, `30m`, `24h`, `7d`, or several of them; a number alone is seconds.
fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut digits) = (0_u64, String::new());
    for character in text.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let factor = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(factor)?)?;
        digits.clear();
    }
    if digits.is_empty() {
        (!text.is_empty()).then_some(total)
    } else {
        total.checked_add(digits.parse().ok()?)
    }
}

/// A size with a decimal unit, as sizes are printed.
fn bytes(text: &str) -> Result<u64, Failure> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let factor = match &lower[digits..] {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000_u64),
        "t" | "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    let number = lower[..digits].parse::<u64>().ok();
    number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(|| {
        Failure::usage(format!("`--keep-storage {text}`: expected a size such as 500mb or 20gb"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(
            ["90", "90s", "1h30m", "7d"].map(seconds),
            [Some(90), Some(90), Some(5400), Some(604_800)]
        );
        assert_eq!(["", "h", "1x", "99999999999999999999d"].map(seconds), [None; 4]);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("20gb").unwrap(), 20_000_000_000);
        assert!(bytes("20 parsecs").is_err() && bytes("").is_err());
    }
}
