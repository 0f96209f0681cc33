//! Images that have a name: `farm images`, `diff`, `history`, `inspect`, `tag`, `rmi`.

pub(crate) mod diff;
mod files;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod names;
pub(crate) mod pin;
mod shared;
mod trend;
mod waste;

use farm_client::Client;
use farm_proto::client::{Reply, Request};
use farm_proto::image::ImageDetails;

use crate::builds::ask;
use crate::failure::Failure;

/// Everything about one image.
async fn details(client: &Client, image: &str) -> Result<ImageDetails, Failure> {
    let Reply::Image(details) = ask(client, Request::Inspect { image: image.to_owned() }).await? else {
        return Err(Failure::unexpected());
    };
    Ok(*details)
}

/// A question about images beside which ones there are.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Question {
    /// Show what the layers of an image hold in vain: files overwritten, deleted or held again later, or twice
    Waste(waste::Arguments),
    /// List a directory of an image or of one of its layers
    Files(files::Arguments),
    /// Show which layers images share, and what all of them take together
    Shared(shared::Arguments),
    /// Show what the images that had a name before weighed
    Trend(trend::Arguments),
}

impl Question {
    fn answer(&self) -> Result<(), Failure> {
        match self {
            Self::Waste(arguments) => waste::run(arguments),
            Self::Files(arguments) => files::run(arguments),
            Self::Shared(arguments) => shared::run(arguments),
            Self::Trend(arguments) => trend::run(arguments),
        }
    }
}

/// A path inside an image for people and for JSON: absolute, and what is no text in it replaced.
fn path(path: &[u8]) -> String {
    farm_tree::path::absolute(path)
}

/// An instruction in one line that is not too long.
fn instruction(text: &str) -> String {
    const LONGEST: usize = 80;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > LONGEST {
        line.chars().take(LONGEST - 1).chain(['…']).collect()
    } else {
        line
    }
}

/// A value as JSON in one line.
fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    crate::show::text(&format!("{value}\n"))
}

/// The beginning of an id, as `docker images` shows it.
fn short(id: &str) -> &str {
    const DIGITS: usize = 12;
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..DIGITS).unwrap_or(digits)
}
