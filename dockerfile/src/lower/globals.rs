//! The global arguments: those of the platform, and `ARG` before the first `FROM`.

use farm_model::Platform;

use super::options::{Named, Options};
use super::variables::{Expansions, Table};
use crate::ast::Word;
use crate::diagnostic::{Error, Span};
use crate::instruction::{ArgDefinition, Instruction, Kind};

pub(super) const EPOCH: &str = "SOURCE_DATE_EPOCH";
const EPOCH_HINT: &str = "give seconds since 1970-01-01, such as 1700000000, or `context`";

/// The arguments that every stage may declare, with their values.
pub(super) fn platform_arguments(options: &Options, last_stage: Option<&str>) -> Table {
    let mut table = Table::default();
    for (prefix, platform) in [("BUILD", &options.build_platform), ("TARGET", options.target_platform())] {
        for (name, value) in platform_values(platform) {
            table.set(&format!("{prefix}{name}"), &value);
        }
    }
    table.set("TARGETSTAGE", options.target.as_deref().or(last_stage).unwrap_or("default"));
    let given: Vec<(String, String)> = table
        .entries()
        .iter()
        .filter_map(|(name, _)| Some((name.clone(), options.build_args.get(name)?.clone())))
        .collect();
    for (name, value) in given {
        table.set(&name, &value);
    }
    table
}

fn platform_values(platform: &Platform) -> [(&'static str, String); 5] {
    [
        ("PLATFORM", platform.to_string()),
        ("OS", platform.os.clone()),
        // No platform of ours has a version; Windows images alone do.
        ("OSVERSION", String::new()),
        ("ARCH", platform.architecture.clone()),
        ("VARIANT", platform.variant.clone()),
    ]
}

/// Adds one `ARG` that stands before the first `FROM`.
pub(super) fn declare(
    table: &mut Table,
    definitions: &[ArgDefinition],
    options: &Options,
    escape: char,
) -> Result<(), Error> {
    for ArgDefinition { name, value } in definitions {
        let given = options.build_args.get(&name.text).cloned();
        let value = match (given, value) {
            (Some(given), _) => Some(given),
            (None, Some(word)) => Some(Expansions::new(escape, table).word(word)?),
            (None, None) => None,
        };
        if let Some(value) = value {
            table.set(&name.text, &value);
        }
    }
    Ok(())
}

/// What `SOURCE_DATE_EPOCH` comes to.
///
/// `context` and the name of a directory stand for the time of a commit or download; plain directories
/// have none.
pub(super) fn source_date_epoch(
    value: &str,
    span: Span,
    options: &Options,
    stages: &[(Option<&Word>, &[Instruction])],
) -> Result<Option<i64>, Error> {
    if value.is_empty() || value == "context" {
        return Ok(None);
    }
    if let Ok(seconds) = value.parse() {
        return Ok(Some(seconds));
    }
    if let Some(Named::Directory(_)) = options.context(value, options.target_platform()) {
        return Ok(None);
    }
    let named =
        |(name, _): &&(Option<&Word>, _)| name.is_some_and(|name| name.text.eq_ignore_ascii_case(value));
    let Some((name, instructions)) = stages.iter().find(named) else {
        return Err(Error::new(span, format!("invalid {EPOCH}: {value}")).with_hint(EPOCH_HINT));
    };
    let span = name.map_or(span, |name| name.span);
    let is_remote = |instruction: &Instruction| {
        if let Kind::Transfer(transfer) = &instruction.kind {
            transfer.add && transfer.sources.iter().all(|source| source.text.contains("://"))
        } else {
            matches!(instruction.kind, Kind::Arg(_))
        }
    };
    let message = if instructions.iter().all(is_remote) {
        format!("a stage as the value of {EPOCH} is not supported yet: `{value}`")
    } else {
        format!("{EPOCH} stage `{value}` must contain exactly one remote ADD")
    };
    Err(Error::new(span, message).with_hint(EPOCH_HINT))
}
