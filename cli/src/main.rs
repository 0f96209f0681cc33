//! The `farm` binary: a file a subcommand.
//!
//! Only this crate reads the environment, the home directory and the terminal; everything below is handed plain values.

mod build;
mod config;
mod failure;
mod interrupt;
mod paths;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;

/// Builds OCI images from Dockerfiles, and never does the same work twice.
#[derive(Debug, Parser)]
#[command(name = "farm", bin_name = "farm", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Build an image from a Dockerfile
    Build(Box<build::Arguments>),
}

fn main() -> ExitCode {
    // A container's helper is this same binary, started again; it never returns from here.
    farm_executor::init_entry();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("FARM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match cli.command {
        Command::Build(arguments) => build::run(*arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Prints clap's message; help and version are no failures.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to tell when even this cannot be printed.
    let _unprintable = error.print();
    if error.use_stderr() { Failure::USAGE.into() } else { ExitCode::SUCCESS }
}
