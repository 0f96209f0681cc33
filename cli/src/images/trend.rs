//! `farm images trend`: what the images that had a name weighed, one after the other.

use farm_proto::image::TrendPoint;
use serde_json::json;

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

/// Bars from the lowest to the highest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Images that a line of bars shows.
const SHOWN: usize = 20;

/// Arguments of `farm images trend`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// As JSON, an object a line; sizes in bytes, the oldest first
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let image = crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        super::details(&client, &arguments.image).await
    })?;
    if arguments.json {
        return show::text(&show::lines(image.trend.iter().map(as_json)));
    }
    let heading = ["NAMED", "SIZE", "CHANGE", "PACKED SIZE", "BUILD"].map(str::to_owned).to_vec();
    let mut before: Option<u64> = None;
    let mut rows = vec![heading];
    for point in &image.trend {
        let change = before.replace(point.bytes).map(|before| show::change(before, point.bytes));
        rows.push(vec![
            show::date(point.time),
            size(point.bytes),
            change.unwrap_or_default(),
            point.packed_bytes.map(size).unwrap_or_default(),
            point.build.map(|build| build.to_string()).unwrap_or_default(),
        ]);
    }
    let sizes: Vec<u64> = image.trend.iter().map(|point| point.bytes).collect();
    show::text(&format!("{}\n{}\n", show::table(rows), line(&sizes)))
}

/// The last sizes as bars between the smallest and the largest of them; nothing for a single one.
pub(super) fn line(sizes: &[u64]) -> String {
    let sizes = &sizes[sizes.len().saturating_sub(SHOWN)..];
    let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) else { return String::new() };
    if sizes.len() < 2 {
        return String::new();
    }
    let highest = u128::try_from(BARS.len() - 1).unwrap_or_default();
    let bar = |size: &u64| {
        let range = u128::from(most - least).max(1);
        let height = u128::from(size - least) * highest / range;
        BARS[usize::try_from(height).unwrap_or_default()]
    };
    sizes.iter().map(bar).collect()
}

/// A point as JSON.
pub(super) fn as_json(point: &TrendPoint) -> serde_json::Value {
    json!({
        "time": point.time, "bytes": point.bytes, "packed_bytes": point.packed_bytes,
        "build": point.build.map(|build| build.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_from_the_smallest_to_the_largest() {
        assert_eq!(line(&[10, 20, 15, 80]), "▁▂▁█");
        assert_eq!(line(&[5, 5]), "▁▁");
        assert_eq!((line(&[7]), line(&[])), (String::new(), String::new()));
        assert_eq!(line(&[1; 99]).chars().count(), SHOWN);
        assert_eq!(line(&[0, u64::MAX]), "▁█");
    }
}
