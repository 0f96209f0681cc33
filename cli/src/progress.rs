//! How the events of a build are shown. Every form is a fold over the same events.

mod plain;
mod raw;
mod tty;

use std::io::{IsTerminal as _, Write as _};

use farm_model::Recorded;
use farm_model::event::Ending;

pub(crate) use farm_model::decimal_size as size;
pub(crate) use plain::Plain;

use crate::failure::Failure;
use raw::Raw;
use tty::Tty;

/// The kinds of progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// `tty` on a terminal, `plain` elsewhere
    Auto,
    /// The log as it comes, and below it a few live lines
    Tty,
    /// A line an event, with every log line
    Plain,
    /// An object a line, with the keys that buildx has for it
    Rawjson,
    /// Nothing but the result
    Quiet,
}

/// Shows one build.
#[derive(Debug)]
pub(crate) struct Progress {
    sink: Sink,
    /// The sequence number that was shown last: after a lost connection events may come twice.
    shown: Option<u64>,
}

#[derive(Debug)]
enum Sink {
    Plain(Plain),
    Raw(Raw),
    Tty(Tty),
    Quiet,
}

impl Progress {
    /// Shows nothing yet.
    pub(crate) fn new(mode: Mode) -> Self {
        let sink = match mode {
            Mode::Auto if can_redraw() => Sink::Tty(Tty::start()),
            Mode::Auto | Mode::Plain => Sink::Plain(Plain::default()),
            Mode::Tty => Sink::Tty(Tty::start()),
            Mode::Rawjson => Sink::Raw(Raw::default()),
            Mode::Quiet => Sink::Quiet,
        };
        Self { sink, shown: None }
    }

    /// Shows the next event of the build's log.
    pub(crate) fn event(&mut self, sequence: u64, recorded: &Recorded) {
        if self.shown.is_some_and(|shown| sequence <= shown) {
            return;
        }
        self.shown = Some(sequence);
        let text = match &mut self.sink {
            Sink::Plain(plain) => plain.render(&recorded.event),
            Sink::Raw(raw) => raw.render(recorded),
            Sink::Tty(tty) => return tty.event(recorded),
            Sink::Quiet => return,
        };
        // A closed terminal is no reason to stop a build.
        let _closed = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Leaves the terminal as it was, the log above.
    pub(crate) fn finish(self) {
        if let Sink::Tty(tty) = self.sink {
            tty.finish();
        }
    }
}

/// What the end of a build means for the command that waited for it.
pub(crate) fn conclude(ending: &Ending) -> Result<(), Failure> {
    match ending {
        Ending::Succeeded { .. } => Ok(()),
        Ending::Failed(failure) => {
            Err(Failure::blaming(failure.blame, failure.message.clone()).with_hint(failure.hint.clone()))
        }
        Ending::Cancelled => Err(Failure::of_build(Failure::INTERRUPTED, "the build was cancelled")),
        Ending::Interrupted => Err(Failure::environment("the build was interrupted")
            .with_hint(Some("build again: what was finished is in the cache"))),
    }
}

fn can_redraw() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    std::io::stderr().is_terminal() && !dumb
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
