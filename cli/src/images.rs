//! Images that have a name: `farm images`, `history`, `inspect`, `tag`, `rmi`.

pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod names;

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

/// The beginning of an id, as `docker images` shows it.
fn short(id: &str) -> &str {
    const DIGITS: usize = 12;
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..DIGITS).unwrap_or(digits)
}
