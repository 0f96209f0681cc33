//! `farm report`: a build after the fact, as a page of HTML and as a trace.

use std::path::{Path, PathBuf};

use farm_model::event::{FarmEvent, recording};
use farm_model::{BuildId, Recorded};
use farm_tui::report::{Report, html, trace};
use farm_tui::state::{Build, Log};

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::{builds, show, why};

const NOTES: &str = "\
The page needs nothing beside itself: timelines by worker and by stage, the graph with its critical
path, what the cache knew and why steps ran, sizes, and failures with the last lines of their logs.
The trace is for https://ui.perfetto.dev or chrome://tracing: a track for each slot of a worker, and
arrows from what a step needed.

Examples:
  farm report                              the last build, as farm-report-BUILD.html
  farm report shop:1 -o shop.html --trace shop.json
  farm report 4be1 -o - | mail -s report ...
  farm report --from night.farm            of a recording of `farm top --record`";

/// Longer recordings are not read.
const LONGEST_RECORDING: u64 = 4 << 30;
/// Bytes of the log that are kept for the last lines of failures.
const LOG: usize = 64 << 20;

/// Arguments of `farm report`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// An image, or a build by its id or the first digits of it [default: the last build]
    #[arg(value_name = "IMAGE|BUILD")]
    what: Option<String>,

    /// File that receives the page, `-` for standard output [default: farm-report-BUILD.html, unless there is `--trace`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// File that receives the trace, as JSON
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Take the build from this recording of a farm instead of asking one; it holds no logs
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    #[command(flatten)]
    connection: Options,
}

/// A build and its log, as far as they are known.
struct Seen {
    build: Build,
    log: Log,
}

impl Seen {
    fn new() -> Self {
        Self { build: Build::default(), log: Log::bounded(LOG) }
    }

    fn apply(&mut self, recorded: &Recorded) {
        self.build.apply(recorded);
        self.log.apply(recorded);
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (id, seen) = match &arguments.from {
        Some(file) => recorded(file, arguments.what.as_deref())?,
        None => crate::block_on(asked(arguments))?,
    };
    if let Some(file) = &arguments.trace {
        write(file, format!("{}\n", trace(&seen.build)).as_bytes())?;
    }
    if arguments.output.is_none() && arguments.trace.is_some() {
        return Ok(());
    }
    let reason = |reason: &_| why::sentence(reason, |step| name(&seen.build, step));
    let page = html(&Report {
        build: &seen.build,
        log: &seen.log,
        reason: &reason,
        version: env!("CARGO_PKG_VERSION"),
    });
    let file = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("farm-report-{id}.html")));
    write(&file, page.as_bytes())?;
    if arguments.output.is_none() { show::text(&format!("{}\n", file.display())) } else { Ok(()) }
}

/// The name of a step, for a reason that names one.
fn name(build: &Build, step: farm_model::StepId) -> String {
    build.step(step).map_or_else(|| "a step".to_owned(), |step| step.planned.name.clone())
}

async fn asked(arguments: &Arguments) -> Result<(BuildId, Seen), Failure> {
    let client = connection::connect(&arguments.connection).await?;
    let id = match arguments.what.as_deref() {
        None => builds::latest(&client).await?,
        Some(what) => why::build_of(&client, what).await?.ok_or_else(|| {
            Failure::usage(format!("there is no image and no build `{what}`"))
                .with_hint(Some("`farm images` and `farm builds list` show what there is"))
        })?,
    };
    let mut seen = Seen::new();
    builds::replay(&client, id, |recorded| seen.apply(&recorded)).await?;
    Ok((id, seen))
}

/// A build of a recording; the last that began in it unless `what` names one.
fn recorded(file: &Path, what: Option<&str>) -> Result<(BuildId, Seen), Failure> {
    let bytes = read(file)?;
    let shown = file.display();
    let Some(mut rest) = bytes.strip_prefix(recording::HEADER) else {
        return Err(Failure::usage(format!("`{shown}` is no recording of a farm")));
    };
    let wanted =
        |build: &BuildId| what.is_none_or(|what| build.to_string().starts_with(&what.to_ascii_lowercase()));
    let mut found: Option<(BuildId, Seen)> = None;
    loop {
        let next = recording::next(rest)
            .map_err(|error| Failure::environment(format!("`{shown}` cannot be read: {error}")))?;
        // What was cut off says nothing.
        let recording::Next::Event(event, length) = next else { break };
        rest = &rest[length..];
        let FarmEvent::Build { build, sequence, recorded } = event.event else { continue };
        if !wanted(&build) {
            continue;
        }
        // A stream that begins anew tells of its builds from their start.
        if sequence == 0 || found.is_none() {
            found = Some((build, Seen::new()));
        }
        if let Some((id, seen)) = &mut found
            && *id == build
        {
            seen.apply(&recorded);
        }
    }
    found.ok_or_else(|| match what {
        Some(what) => Failure::usage(format!("there is no build `{what}` in `{shown}`")),
        None => Failure::usage(format!("there is no build in `{shown}`")),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read `{}`: {error}", file.display()));
    let length = std::fs::metadata(file).map_err(failed)?.len();
    if length > LONGEST_RECORDING {
        return Err(Failure::usage(format!(
            "`{}` is longer than any recording that is read",
            file.display()
        )));
    }
    std::fs::read(file).map_err(failed)
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if file == Path::new("-") {
        return show::bytes(bytes);
    }
    std::fs::write(file, bytes)
        .map_err(|error| Failure::environment(format!("cannot write `{}`: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use farm_model::BuildEvent;
    use farm_model::event::{FarmRecorded, Requested};

    use super::*;

    fn recording(builds: &[(u8, u64)]) -> tempfile::NamedTempFile {
        let mut bytes = recording::HEADER.to_vec();
        for (build, sequence) in builds {
            let requested = Requested {
                build: BuildId([*build; 8]),
                time: 0,
                dockerfile: "Dockerfile".into(),
                context: ".".into(),
                target: None,
                names: vec![format!("image-{build}")],
                client: "me".into(),
            };
            let recorded = Recorded { at: *sequence, event: BuildEvent::Requested(requested) };
            let event = FarmEvent::Build { build: BuildId([*build; 8]), sequence: *sequence, recorded };
            bytes.extend(recording::frame(&FarmRecorded { time: 0, event }));
        }
        // A frame that was cut.
        bytes.extend([0, 0, 0, 9, 1]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_recording_gives_the_last_build_or_the_one_that_is_named() {
        let file = recording(&[(1, 0), (2, 0), (1, 1)]);
        let title = |what| recorded(file.path(), what).map(|(_, seen)| seen.build.title());
        assert_eq!(title(None).unwrap(), "image-2");
        assert_eq!(title(Some("0101")).unwrap(), "image-1");
        assert!(title(Some("ff")).is_err());
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"<html>").unwrap();
        assert!(recorded(file.path(), None).is_err());
        assert!(recorded(Path::new("/no/such/file"), None).is_err());
    }
}
