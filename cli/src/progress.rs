//! How the events of a build are shown.

mod plain;

use std::io::Write as _;

pub(crate) use plain::Plain;

/// The kinds of progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// A line an event, with every log line.
    Plain,
    /// Nothing but the result.
    Quiet,
}

/// Writes a line to standard error. A closed terminal is no reason to stop a build.
pub(crate) fn complain(text: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes a line to standard output.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
