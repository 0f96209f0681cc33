//! `farm save`: images as an archive.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use farm_model::event::Stream;
use farm_oci::export::AtomicFile;
use farm_proto::client::{Form, Reply, Request};
use farm_proto::transfer::SaveRequest;

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::transfer;

/// Arguments of `farm save`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Names or ids of images; the names go into the archive
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    /// File to be written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// What kind of archive: `docker`, which is an OCI layout besides, or `oci`
    #[arg(long, value_name = "docker|oci", default_value = "docker")]
    format: String,

    #[command(flatten)]
    packing: transfer::PackingArguments,

    #[command(flatten)]
    connection: Options,
}

/// Writes the archive; a file gets its name when it is whole.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let form = match arguments.format.as_str() {
        "docker" => Form::DockerArchive,
        "oci" => Form::OciArchive,
        other => return Err(Failure::usage(format!("`--format {other}`: expected docker or oci"))),
    };
    let packing = arguments.packing.read()?;
    let request = Request::Save(Box::new(SaveRequest { images: arguments.images, form, packing }));
    let Some(path) = arguments.output else {
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage("a tar is not written to a terminal")
                .with_hint(Some("redirect standard output, or name a file with `--output`")));
        }
        return crate::block_on(write(&arguments.connection, request, &mut std::io::stdout().lock()));
    };
    let mut file = AtomicFile::create(&path)?;
    crate::block_on(write(&arguments.connection, request, &mut file))?;
    Ok(file.commit()?)
}

async fn write(options: &Options, request: Request, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::environment(format!("cannot write the archive: {error}"));
    let client = connection::connect(options).await?;
    let mut replies = client.stream(request).await.map_err(|error| Failure::connection(&error))?;
    loop {
        match replies.next().await.map_err(|error| Failure::connection(&error))? {
            Some(Reply::Output { stream: Stream::Stdout, bytes }) => out.write_all(&bytes).map_err(failed)?,
            Some(Reply::Done) => return out.flush().map_err(failed),
            Some(Reply::Refused(refusal)) => return Err(Failure::refused(&refusal)),
            Some(_) => return Err(Failure::unexpected()),
            None => {
                return Err(Failure::environment("the coordinator went away while the archive was written"));
            }
        }
    }
}
