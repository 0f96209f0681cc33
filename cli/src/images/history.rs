//! `farm history`.

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;
use crate::template::Template;

const FIELDS: [&str; 4] = ["CreatedSince", "CreatedBy", "Size", "Comment"];
const TABLE: &str = "table {{.CreatedSince}}\\t{{.Size}}\\t{{.CreatedBy}}";

/// Arguments of `farm history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Show instructions whole
    #[arg(long)]
    no_trunc: bool,

    /// Text with placeholders such as `{{.CreatedBy}}`, `table …` or `json`
    #[arg(long, value_name = "TEMPLATE", default_value = TABLE, hide_default_value = true)]
    format: String,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let template = Template::parse(&arguments.format, &FIELDS)?;
    let image = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        super::details(&client, &arguments.image).await
    })?;
    let row = |entry: &farm_proto::image::HistoryRow| {
        let shown = if arguments.no_trunc {
            entry.created_by.split_whitespace().collect::<Vec<_>>().join(" ")
        } else {
            super::instruction(&entry.created_by)
        };
        vec![
            entry.created.map(show::ago).unwrap_or_default(),
            shown,
            size(entry.bytes.unwrap_or(0)),
            entry.comment.clone(),
        ]
    };
    // The newest first, as `docker history` has it.
    let rows: Vec<_> = image.history.iter().rev().map(row).collect();
    show::text(&template.render(&FIELDS, &rows))
}
