//! The `farm` binary: a file a subcommand.
//!
//! Only this crate reads the environment, the home directory and the terminal; everything below is handed plain values.

mod actions;
mod build;
mod builds;
mod completions;
mod config;
mod connection;
mod coordinator;
mod daemon;
mod disk;
mod failure;
mod images;
mod interrupt;
mod isolation;
mod load;
mod login;
mod parts;
mod paths;
mod progress;
mod pull;
mod push;
mod report;
mod run;
mod save;
mod show;
mod template;
mod top;
mod transfer;
mod version;
mod why;
mod worker;
mod workers;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use farm_proto::client::Pinning;

use crate::failure::Failure;

const NOTES: &str = "\
The first command that needs it starts a daemon, which keeps the results of all builds of its
user and ends when it has been idle for long. With `--coordinator` commands speak to a farm.

Exit codes:
  0 done; 1 the build or the command in the image failed; 2 wrong usage or Dockerfile;
  3 registry, disk, permission or network; 70 a bug of farm; 130 interrupted";

/// How long threads that nobody waits for may go on after an end was asked for. What they leave half done in the state
/// directory is swept at the next start.
const PARTING: Duration = Duration::from_secs(2);

/// Builds OCI images from Dockerfiles, and never does the same work twice.
#[derive(Debug, Parser)]
#[command(name = "farm", bin_name = "farm", version, max_term_width = 100, after_help = NOTES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Build an image from a Dockerfile
    Build(Box<build::Arguments>),
    /// List, follow and cancel builds
    Builds(builds::Arguments),
    /// Watch builds, workers, cache and images of a farm
    Top(Box<top::Arguments>),
    /// Say why a step ran instead of being cached
    Why(why::Arguments),
    /// Write a build as a page of HTML, or as a trace
    Report(report::Arguments),
    /// Run a command in an image and throw away what it writes
    Run(run::Arguments),
    /// List the images that have a name
    Images(images::list::Arguments),
    /// Show what two images differ in, the heaviest first
    Diff(images::diff::Arguments),
    /// Show the instructions that made an image, and what each weighs
    History(images::history::Arguments),
    /// Show everything about an image, as JSON
    Inspect(images::inspect::Arguments),
    /// Give an image another name
    Tag(images::names::TagArguments),
    /// Take names of images away
    Rmi(images::names::RemoveArguments),
    /// Push an image to a registry
    Push(push::Arguments),
    /// Take an image from a registry
    Pull(pull::Arguments),
    /// Write an image as an archive
    Save(save::Arguments),
    /// Take the images of an archive
    Load(load::Arguments),
    /// Keep name and password for a registry
    Login(login::LoginArguments),
    /// Forget name and password for a registry
    Logout(login::LogoutArguments),
    /// Show what takes how much of the disk
    Du(disk::UsageArguments),
    /// Remove what nobody needs
    Prune(disk::PruneArguments),
    /// Keep an image whatever is pruned or removed
    Pin(images::pin::Arguments),
    /// Keep an image no longer than others
    Unpin(images::pin::Arguments),
    /// Show the workers of a farm and what their machines use
    Workers(workers::Arguments),
    /// Give a worker no more work
    Drain(workers::DrainArguments),
    /// Show what people did to the farm
    Actions(actions::Arguments),
    /// Start, stop and inspect the daemon
    Daemon(daemon::Arguments),
    /// Coordinate the builds of a farm
    Coordinator(coordinator::Arguments),
    /// Run steps for a farm
    Worker(worker::Arguments),
    /// Print a script that completes command lines in a shell
    Completions(completions::ShellArguments),
    /// Write the manual pages
    Man(completions::ManArguments),
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
    match perform(cli.command) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn perform(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => return run::run(arguments),
        Command::Build(arguments) => build::run(*arguments),
        Command::Builds(arguments) => builds::run(arguments),
        Command::Top(arguments) => top::run(*arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Images(arguments) => images::list::run(&arguments),
        Command::Diff(arguments) => images::diff::run(&arguments),
        Command::History(arguments) => images::history::run(&arguments),
        Command::Inspect(arguments) => images::inspect::run(&arguments),
        Command::Tag(arguments) => images::names::tag(&arguments),
        Command::Rmi(arguments) => images::names::remove(arguments),
        Command::Push(arguments) => push::run(arguments),
        Command::Pull(arguments) => pull::run(&arguments),
        Command::Save(arguments) => save::run(arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Login(arguments) => login::login(arguments),
        Command::Logout(arguments) => login::logout(arguments),
        Command::Du(arguments) => disk::usage(&arguments),
        Command::Prune(arguments) => disk::prune(&arguments),
        Command::Pin(arguments) => images::pin::run(arguments, Pinning::Pinned),
        Command::Unpin(arguments) => images::pin::run(arguments, Pinning::Free),
        Command::Workers(arguments) => workers::list(&arguments),
        Command::Drain(arguments) => workers::drain(&arguments),
        Command::Actions(arguments) => actions::run(&arguments),
        Command::Daemon(arguments) => daemon::run(arguments),
        Command::Coordinator(arguments) => coordinator::run(&arguments),
        Command::Worker(arguments) => worker::run(&arguments),
        Command::Completions(arguments) => completions::shell(&arguments),
        Command::Man(arguments) => completions::man(&arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A runtime for a command that serves others.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(no_runtime)
}

/// Runs a command that asks and prints; one thread is enough for it and starts faster.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;
    runtime.block_on(work)
}

#[expect(clippy::needless_pass_by_value, reason = "it takes what `map_err` gives")]
fn no_runtime(error: std::io::Error) -> Failure {
    Failure::environment(format!("cannot start the runtime: {error}"))
}

/// Prints clap's message; help and version are no failures.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to tell when even this cannot be printed.
    let _unprintable = error.print();
    if error.use_stderr() { Failure::USAGE.into() } else { ExitCode::SUCCESS }
}
