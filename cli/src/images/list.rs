//! `farm images`.

use farm_proto::client::{Reply, Request};
use farm_proto::image::ImageSummary;
use serde_json::json;

use super::{Question, short};
use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;
use crate::template::Template;

const FIELDS: [&str; 15] = [
    "Repository",
    "Tag",
    "ID",
    "ConfigID",
    "CreatedSince",
    "CreatedAt",
    "Size",
    "PackedSize",
    "Change",
    "Trend",
    "Discarded",
    "Layers",
    "Platform",
    "Build",
    "Pinned",
];
const NAMELESS: &str = "<none>";
const TABLE: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t{{.PackedSize}}\\t{{.Change}}\\t{{.Discarded}}";

const NOTES: &str = "\
Columns:
  SIZE         the files of the image, unpacked, base included
  PACKED SIZE  its compressed layers, once it was exported
  CHANGE       of SIZE against the image that had this name before
  DISCARDED    what the stages weighed that the image does not contain

Filters:
  reference=PATTERN   names that match; `*` stands for anything but `/`
  before=IMAGE  since=IMAGE

`{{.Trend}}` draws what the last images of the name weighed.

Examples:
  farm images waste shop:1
  farm images files shop:1 /usr --layer 2
  farm images --filter 'reference=shop*' --format '{{.Repository}}\\t{{.Size}}'";

/// Arguments of `farm images`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    question: Option<Question>,

    /// Only images of this name, or that match this pattern
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Only some of the images
    #[arg(short, long = "filter", value_name = "NAME=VALUE")]
    filters: Vec<String>,

    /// Text with placeholders such as `{{.Repository}}`, `table …` or `json`
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["json", "quiet"])]
    format: Option<String>,

    /// As JSON, an object a line; sizes in bytes
    #[arg(long, conflicts_with = "quiet")]
    json: bool,

    /// Only ids
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(question) = &arguments.question {
        return question.answer();
    }
    let template = Template::parse(arguments.format.as_deref().unwrap_or(TABLE), &FIELDS)?;
    let mut images = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let Reply::Images(images) = ask(&client, Request::Images).await? else {
            return Err(Failure::unexpected());
        };
        Ok(images)
    })?;
    let everything = images.clone();
    for filter in &arguments.filters {
        let keep = filter_of(filter, &everything)?;
        images.retain(|image| keep(image));
    }
    if let Some(name) = &arguments.name {
        images.retain(|image| matches(name, &image.name));
    }
    if arguments.quiet {
        let mut ids: Vec<_> = images.iter().map(|image| short(&image.id)).collect();
        ids.dedup();
        return show::text(&show::lines(ids.into_iter()));
    }
    if arguments.json {
        let lines: String = show::lines(images.iter().map(as_json));
        return show::text(&lines);
    }
    show::text(&template.render(&FIELDS, &images.iter().map(row).collect::<Vec<_>>()))
}

type Keep = Box<dyn Fn(&ImageSummary) -> bool>;

fn filter_of(text: &str, all: &[ImageSummary]) -> Result<Keep, Failure> {
    let invalid = |reason: &str| {
        Failure::usage(format!("`--filter {text}`: {reason}"))
            .with_hint(Some("there are `reference=PATTERN`, `before=IMAGE` and `since=IMAGE`"))
    };
    let (name, value) = text.split_once('=').ok_or_else(|| invalid("expected NAME=VALUE"))?;
    let created = || {
        let image = all.iter().find(|image| matches(value, &image.name) || image.id.starts_with(value));
        image.map(|image| image.created).ok_or_else(|| invalid("there is no such image"))
    };
    let value = value.to_owned();
    Ok(match name {
        "reference" => Box::new(move |image| matches(&value, &image.name)),
        "before" => {
            let limit = created()?;
            Box::new(move |image| image.created < limit)
        }
        "since" => {
            let limit = created()?;
            Box::new(move |image| image.created > limit)
        }
        _ => return Err(invalid("unknown filter")),
    })
}

/// Whether a pattern names an image: with its tag, or without, and then with any.
fn matches(pattern: &str, name: &str) -> bool {
    let (repository, _) = split(name);
    wildcard(pattern.as_bytes(), name.as_bytes()) || wildcard(pattern.as_bytes(), repository.as_bytes())
}

/// `*` stands for any run without `/`, `?` for one character. Linear but for the last star, which is tried again.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut pos, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(pos) {
            Some(b'*') => {
                star = Some((pos, at));
                pos += 1;
            }
            Some(b'?') if text[at] != b'/' => (at, pos) = (at + 1, pos + 1),
            Some(byte) if *byte == text[at] => (at, pos) = (at + 1, pos + 1),
            _ => match star {
                Some((last, from)) if text[from] != b'/' => {
                    star = Some((last, from + 1));
                    (at, pos) = (from + 1, last + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[pos..].iter().all(|byte| *byte == b'*')
}

/// Repository and tag of a name; a port is no tag.
fn split(name: &str) -> (&str, &str) {
    // An image without a name is kept under its id.
    if name.parse::<farm_model::OciDigest>().is_ok() {
        return (NAMELESS, NAMELESS);
    }
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

fn row(image: &ImageSummary) -> Vec<String> {
    let (repository, tag) = split(&image.name);
    let change = image.previous_bytes.map(|before| show::change(before, image.bytes));
    vec![
        repository.to_owned(),
        tag.to_owned(),
        short(&image.id).to_owned(),
        image.config.as_deref().map(short).unwrap_or_default().to_owned(),
        show::ago(image.created),
        show::date(image.created),
        size(image.bytes),
        image.packed_bytes.map(size).unwrap_or_default(),
        change.unwrap_or_default(),
        super::trend::line(&image.trend),
        size(image.discarded_bytes),
        image.layers.to_string(),
        image.platform.to_string(),
        image.build.map(|build| build.to_string()).unwrap_or_default(),
        image.pinned.to_string(),
    ]
}

fn as_json(image: &ImageSummary) -> serde_json::Value {
    let (repository, tag) = split(&image.name);
    json!({
        "name": image.name, "repository": repository, "tag": tag, "id": image.id, "config": image.config,
        "created": image.created, "platform": image.platform.to_string(), "bytes": image.bytes,
        "packed_bytes": image.packed_bytes, "previous_bytes": image.previous_bytes,
        "discarded_bytes": image.discarded_bytes, "layers": image.layers, "trend": image.trend,
        "build": image.build.map(|build| build.to_string()), "pinned": image.pinned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_with_and_without_the_tag() {
        assert!(matches("shop", "shop:1") && matches("shop:*", "shop:1") && matches("s?op:1", "shop:1"));
        assert!(matches("localhost:5000/*", "localhost:5000/shop:1"));
        assert!(
            !matches("shop", "shopping:1") && !matches("*", "team/shop:1") && matches("*/*", "team/shop:1")
        );
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!wildcard(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split("localhost:5000/shop"), ("localhost:5000/shop", "latest"));
        assert_eq!(split("localhost:5000/shop:2"), ("localhost:5000/shop", "2"));
    }
}
