//! `farm-workload`: writes the workloads and says what they hold.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use farm_benchmarks::Error;
use farm_benchmarks::folder::Contents;
use farm_benchmarks::workload::{Scale, Workload};

/// Writes build contexts of known shape, the same bytes and times for the same seed.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Names the workloads.
    List,
    /// Writes workloads as `OUT/NAME` and prints files, bytes and digest of each.
    Generate {
        /// Directory to write into.
        out: PathBuf,
        /// Which; all of them if none is named.
        names: Vec<String>,
        /// Seed of every pseudo-random choice.
        #[arg(long, default_value_t = Scale::default().seed)]
        seed: u64,
        /// Dockerfiles of the fleet `m4`.
        #[arg(long, default_value_t = Scale::default().images)]
        images: usize,
        /// Divides large numbers of files and bytes.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        divisor: u64,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::List => list(),
        Command::Generate { out, names, seed, images, divisor } => {
            generate(&out, &names, &Scale { seed, images, divisor })
        }
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    farm_benchmarks::report::complain(&error);
    ExitCode::FAILURE
}

fn list() -> Result<(), Error> {
    for workload in Workload::ALL {
        print(&format!("{:8} {}", workload.name(), workload.shape()))?;
    }
    Ok(())
}

fn generate(out: &Path, names: &[String], scale: &Scale) -> Result<(), Error> {
    let mut wanted = names.iter().map(|name| name.parse()).collect::<Result<Vec<Workload>, _>>()?;
    if wanted.is_empty() {
        wanted.extend(Workload::ALL);
    }
    for workload in wanted {
        let path = out.join(workload.name());
        workload.generate(&path, scale)?;
        let Contents { files, bytes, digest } = Contents::of(&path)?;
        print(&format!("{:8} {files:>6} files {bytes:>12} bytes  {digest}", workload.name()))?;
    }
    Ok(())
}

fn print(line: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(|source| Error::File {
        action: "write to",
        path: "standard output".into(),
        source,
    })
}
