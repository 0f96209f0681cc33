//! What commands that move images have in common.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use farm_client::Client;
use farm_model::Reference;
use farm_proto::client::{Reply, Request};
use farm_proto::transfer::Packing;

use crate::build::output;
use crate::failure::Failure;
use crate::progress::{self, size};

/// How long nothing may move before something is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// How layers are packed.
#[derive(Debug, clap::Args)]
pub(crate) struct PackingArguments {
    /// How new layers are compressed
    #[arg(long, value_name = "gzip|zstd|uncompressed", default_value = "gzip")]
    compression: String,

    /// How hard the compressor tries: 0 to 9 for gzip, 0 to 22 for zstd
    #[arg(long, value_name = "LEVEL")]
    compression_level: Option<u8>,
}

impl PackingArguments {
    pub(crate) fn read(&self) -> Result<Packing, Failure> {
        let compression = output::compression_of(&self.compression).map_err(Failure::usage)?;
        output::check_level(compression, self.compression_level).map_err(Failure::usage)?;
        Ok(Packing { compression, level: self.compression_level })
    }
}

/// A name that an image can get.
pub(crate) fn name(text: &str) -> Result<Reference, Failure> {
    let name: Reference = text.parse().map_err(|error| Failure::usage(format!("`{text}`: {error}")))?;
    if name.digest.is_some() {
        return Err(Failure::usage(format!("`{text}`: a name cannot carry a digest")));
    }
    Ok(name)
}

/// Asks for a transfer, and shows on a terminal how far it is; gives the last reply.
pub(crate) async fn follow(client: &Client, request: Request) -> Result<Reply, Failure> {
    let shown = std::io::stderr().is_terminal();
    let mut replies = client.stream(request).await.map_err(|error| Failure::connection(&error))?;
    let mut silent = Duration::ZERO;
    let last = loop {
        let Ok(next) = tokio::time::timeout(PATIENCE, replies.next()).await else {
            silent += PATIENCE;
            progress::complain(&format!("still waiting: nothing has moved for {} s", silent.as_secs()));
            continue;
        };
        silent = Duration::ZERO;
        match next.map_err(|error| Failure::connection(&error))? {
            Some(Reply::Moved(moved)) if shown => {
                let mut stderr = std::io::stderr().lock();
                // A closed terminal is no reason to stop.
                let _closed = write!(stderr, "\r\x1b[K{}, {} done", size(moved.bytes), moved.done);
                let _closed = stderr.flush();
            }
            Some(Reply::Moved(_)) => {}
            Some(last) => break last,
            None => {
                return Err(Failure::environment("the coordinator went away in the middle of the transfer"));
            }
        }
    };
    if shown {
        let _closed = write!(std::io::stderr().lock(), "\r\x1b[K");
    }
    if let Reply::Refused(refusal) = &last { Err(Failure::refused(refusal)) } else { Ok(last) }
}
