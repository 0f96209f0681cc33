//! `farm-measure`: builds the workloads with a farm binary and prints what that took.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use farm_benchmarks::Error;
use farm_benchmarks::farm::Binary;
use farm_benchmarks::report::{Machine, Report, complain};
use farm_benchmarks::scenario::{self, DEFAULT, Plan};
use farm_benchmarks::workload::{Scale, Workload};

/// Measures a farm binary from outside. It asserts no time: read ratios, and compare runs on one quiet machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Workloads to measure; all that one machine can show if none is named.
    scenarios: Vec<String>,
    /// The binary under measurement.
    #[arg(long, env = "FARM_BIN", default_value = "farm")]
    farm: PathBuf,
    /// How often each kind of run is repeated; long ones at most three times.
    #[arg(long, short = 'n', default_value_t = 5)]
    repetitions: usize,
    /// Dockerfiles of the fleet `m4`.
    #[arg(long, default_value_t = 20)]
    images: usize,
    /// Divides large numbers of files and bytes, for a quick look.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    divisor: u64,
    /// Seed of the workloads.
    #[arg(long, default_value_t = Scale::default().seed)]
    seed: u64,
    /// Directory for contexts, to be found again by the next run; a temporary one if absent.
    #[arg(long, value_name = "DIRECTORY")]
    workloads: Option<PathBuf>,
    /// Directory below which farms keep their states; it decides which file system is measured.
    #[arg(long, value_name = "DIRECTORY")]
    scratch: Option<PathBuf>,
    /// Also writes the report as JSON, times in milliseconds.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let Arguments { scenarios, farm, repetitions, images, divisor, seed, workloads, scratch, json } =
        arguments;
    let mut wanted = scenarios.iter().map(|name| name.parse()).collect::<Result<Vec<Workload>, _>>()?;
    if wanted.is_empty() {
        wanted.extend(DEFAULT);
    }
    let scratch = scratch.unwrap_or_else(std::env::temp_dir);
    let own = tempfile::tempdir_in(&scratch).map_err(|source| Error::File {
        action: "create a directory in",
        path: scratch.clone(),
        source,
    })?;
    let plan = Plan {
        binary: Binary { program: farm, scratch: own.path().to_owned() },
        workloads: workloads.unwrap_or_else(|| own.path().join("workloads")),
        scale: Scale { seed, images, divisor },
        repetitions,
    };
    let before = Machine::now();
    print(&before.line());
    print(&Report::heading());
    let mut report = Report::default();
    let mut code = ExitCode::SUCCESS;
    for workload in wanted {
        let done = scenario::measure(workload, &plan, &mut |row| print(&report.push(row)));
        if let Err(error) = done {
            // One scenario that fails is no reason to lose the others.
            complain(&error);
            code = ExitCode::FAILURE;
        }
    }
    let after = Machine::now();
    print(&after.line());
    if let Some(path) = json {
        let text = format!("{:#}\n", report.json(&before, &after));
        fs::write(&path, text).map_err(|source| Error::File { action: "write", path, source })?;
    }
    Ok(code)
}

fn print(text: &str) {
    // A reader that has gone away does not make the measurement worthless: the JSON is still written.
    let _closed = writeln!(io::stdout(), "{text}");
}
