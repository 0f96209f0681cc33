//! `farm-crowd`: makes up a large farm, to be watched by a console.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use farm_benchmarks::Error;
use farm_benchmarks::crowd::measure::{Extent, Report, measure, picture};
use farm_benchmarks::crowd::{Crowd, Size};
use farm_model::event::recording;

/// Makes up the events of a large farm; the same ones for the same seed.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes them as a recording, for `farm top --replay FILE`.
    Record {
        /// The file.
        file: PathBuf,
        /// How long the recording is.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        #[command(flatten)]
        size: Options,
    },
    /// Writes a picture of a view of the console after some seconds.
    Picture {
        /// The file.
        file: PathBuf,
        /// Which view: overview, workers, cache, images, actions, stages or log.
        #[arg(long, default_value = "overview")]
        view: String,
        /// Which theme: dark, light, colour-blind, 16 or mono.
        #[arg(long, default_value = "dark")]
        theme: String,
        /// How much of the farm's time has passed.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Columns of the screen.
        #[arg(long, default_value_t = 120)]
        columns: u16,
        /// Rows of the screen.
        #[arg(long, default_value_t = 36)]
        rows: u16,
        #[command(flatten)]
        size: Options,
    },
    /// Has a console take and draw them, and prints what that costs.
    Draw {
        /// Seconds of the farm's time, of each view.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Columns of the screen.
        #[arg(long, default_value_t = 200)]
        columns: u16,
        /// Rows of the screen.
        #[arg(long, default_value_t = 50)]
        rows: u16,
        #[command(flatten)]
        size: Options,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = Size::default().seed)]
    seed: u64,
    /// Workers, of four slots each.
    #[arg(long, default_value_t = Size::default().workers, value_parser = clap::value_parser!(usize))]
    workers: usize,
    /// Builds that run at any time.
    #[arg(long, default_value_t = Size::default().builds)]
    builds: usize,
    /// Events a second.
    #[arg(long, default_value_t = Size::default().rate, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
}

impl Options {
    fn size(&self) -> Size {
        Size { seed: self.seed, workers: self.workers.max(1), builds: self.builds, rate: self.rate }
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Record { file, seconds, size } => record(&file, seconds, size.size()),
        Command::Picture { file, view, theme, seconds, columns, rows, size } => {
            let picture = picture(size.size(), (&view, &theme), Extent { seconds, columns, rows });
            let failed = |source| Error::File { action: "write", path: file.clone(), source };
            std::fs::write(&file, picture).map_err(failed)
        }
        Command::Draw { seconds, columns, rows, size } => {
            print(&measure(size.size(), Extent { seconds, columns, rows }))
        }
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    farm_benchmarks::report::complain(&error);
    ExitCode::FAILURE
}

fn record(file: &Path, seconds: u64, size: Size) -> Result<(), Error> {
    let failed = |source| Error::File { action: "write", path: file.to_owned(), source };
    let mut out = BufWriter::new(File::create_new(file).map_err(failed)?);
    let mut crowd = Crowd::new(size);
    out.write_all(recording::HEADER).map_err(failed)?;
    for event in crowd.beginning() {
        out.write_all(&recording::frame(&event)).map_err(failed)?;
    }
    for _ in 0..seconds.saturating_mul(size.rate) {
        out.write_all(&recording::frame(&crowd.next_event())).map_err(failed)?;
    }
    out.flush().map_err(failed)
}

fn print(report: &Report) -> Result<(), Error> {
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
    let mut out = io::stdout().lock();
    let mut lines = vec![
        format!("first frame {:.1} ms", millis(report.first_frame)),
        format!("{} events caught up with in {:.1} ms", report.caught_up.1, millis(report.caught_up.0)),
        format!(
            "{:9} {:>8} {:>7} {:>9} {:>9} {:>8} {:>9}",
            "", "OF CORE", "FRAMES", "MS/FRAME", "WORST", "EVENTS", "US/EVENT"
        ),
    ];
    lines.extend(report.views.iter().map(|view| {
        format!(
            "{:9} {:>7.2}% {:>7} {:>9.3} {:>9.3} {:>8} {:>9.2}",
            view.name,
            view.share * 100.0,
            view.frames,
            millis(view.frame.0),
            millis(view.frame.1),
            view.events,
            view.event.as_secs_f64() * 1_000_000.0,
        )
    }));
    lines.push(format!("{} MB of memory at most", report.memory / 1_000_000));
    let said = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    said.map_err(|source| Error::File { action: "write to", path: "standard output".into(), source })
}
