//! The log of a build: all steps merged or one of them, followed or scrolled, searched, with failures pinned.
//!
//! The lines themselves lie in [`Log`]; kept here is which of them are shown and where the screen stands, so that drawing
//! touches only the lines that are on it.

mod act;
mod draw;
mod failures;
mod index;
mod place;
mod wrap;

use std::borrow::Cow;
use std::cell::Cell;

use farm_model::event::Stream;
use farm_model::{BuildId, StepId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::action::{Action, Move};
use crate::app::effect::Answer;
use crate::app::filter::{Fields, Filter};
use crate::app::place::{Place, View};
use crate::app::screen::{Context, Hits, Screen, Subject, Target, Wish};
use crate::state::{Build, Log, LogLine};
use failures::{Failure, Failures, PINNED};
use index::{Index, line};
use place::{Spot, Wrap};

/// How times are shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Times {
    /// Not at all.
    #[default]
    Off,
    /// Since the build's start.
    Relative,
    /// The time of day.
    Absolute,
}

/// What a filter does to the lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Sieve {
    /// What it finds is marked.
    #[default]
    Mark,
    /// Only what it finds is shown.
    Only,
}

/// Whether the screen stays at the end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Tail {
    /// It does.
    #[default]
    Follow,
    /// It stays where it is.
    Hold,
}

/// A failure that is shown whatever is scrolled.
#[derive(Clone, Debug)]
struct Pin {
    failure: Failure,
    /// Which one, from 0, and how many there are.
    of: (usize, usize),
    /// The last lines of its step.
    lines: Vec<u64>,
}

/// The screen of a log.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    build: Option<BuildId>,
    step: Option<StepId>,
    filter: Filter,
    sieve: Sieve,
    times: Times,
    wrap: Wrap,
    tail: Tail,
    /// The lines of the step; all lines when there is none.
    lines: Index,
    /// Those of them that the filter finds.
    found: Index,
    /// Whether the filter has looked at all of them.
    is_searched: bool,
    failures: Failures,
    pin: Option<Pin>,
    /// The failure that was last gone to.
    pinned: usize,
    cursor: u64,
    /// The other end of what is selected.
    mark: Option<u64>,
    /// Where the screen begins, and its columns and rows, as it was drawn.
    top: Cell<Spot>,
    size: Cell<(usize, usize)>,
}

impl Logs {
    /// The lines that are shown.
    fn shown(&self) -> &Index {
        match self.sieve {
            Sieve::Only if !self.filter.is_empty() => &self.found,
            Sieve::Only | Sieve::Mark => &self.lines,
        }
    }

    fn log<'a>(&self, context: &Context<'a>) -> Option<&'a Log> {
        context.logs.get(&self.build?)
    }

    fn of<'a>(&self, context: &Context<'a>) -> Option<&'a Build> {
        context.build(self.build?)
    }

    /// Selects the lines anew, since other ones are wanted.
    fn select(&mut self) {
        self.lines = if self.step.is_some() { Index::some() } else { Index::all() };
        self.found = Index::some();
        (self.is_searched, self.mark) = (false, None);
    }

    fn search(&mut self, context: &Context<'_>) {
        let Some(log) = self.log(context) else { return };
        let (step, filter, build) = (self.step, &self.filter, self.of(context));
        let of_step = |line: &LogLine| step.is_none_or(|step| line.step == Some(step));
        self.lines.update(log, of_step);
        let found = |line: &LogLine| of_step(line) && filter.matches(&Fit { line, build });
        self.is_searched = filter.is_empty() || self.found.update(log, found);
        self.failures.update(log);
    }

    /// The lines that are selected, from the first to the last.
    fn selection(&self) -> (u64, u64) {
        let mark = self.mark.unwrap_or(self.cursor);
        (mark.min(self.cursor), mark.max(self.cursor))
    }

    fn selected_text(&self, log: &Log) -> String {
        /// Terminals take no more of a text that is copied.
        const MOST: usize = 70_000;
        let (first, last) = self.selection();
        let (shown, mut text) = (self.shown(), String::new());
        let ranks = shown.rank(log, first)..=shown.rank(log, last);
        for number in ranks.map_while(|rank| shown.nth(log, rank)).take_while(|number| *number <= last) {
            let Some(line) = line(log, number) else { continue };
            if text.len() + line.text.len() >= MOST {
                break;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&line.text);
        }
        text
    }
}

impl Screen for Logs {
    fn view(&self) -> View {
        View::Log
    }

    fn open(&mut self, place: &Place, context: &Context<'_>) {
        let Place::Log(build, step) = place else { return };
        if self.build != Some(*build) {
            let Self { sieve, times, wrap, ref filter, .. } = *self;
            *self =
                Self { build: Some(*build), sieve, times, wrap, filter: filter.clone(), ..Self::default() };
        }
        self.step = *step;
        self.select();
        self.prepare(context);
    }

    fn filter(&mut self, filter: &Filter, context: &Context<'_>) {
        if self.filter == *filter {
            return;
        }
        self.filter = filter.clone();
        self.found = Index::some();
        self.prepare(context);
        let Some(log) = self.log(context) else { return };
        // The next line that it finds, as one expects of a search.
        if !self.filter.is_empty()
            && let Some(number) = self.found.near(log, self.cursor)
        {
            (self.cursor, self.tail) = (number, Tail::Hold);
        }
    }

    fn prepare(&mut self, context: &Context<'_>) {
        self.search(context);
        let Some(log) = self.log(context) else { return };
        let shown = self.shown();
        let cursor = match self.tail {
            Tail::Follow => shown.last(log),
            Tail::Hold => shown.near(log, self.cursor),
        };
        self.cursor = cursor.unwrap_or_default();
        let failures = self.of(context).map(|build| self.failures.of(build)).unwrap_or_default();
        let at = self.pinned.min(failures.len().saturating_sub(1));
        self.pin = failures.get(at).map(|failure| Pin {
            failure: failure.clone(),
            of: (at, failures.len()),
            lines: failure.last_lines(log, PINNED),
        });
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        draw::draw(self, context, area, buffer, hits);
    }

    fn title(&self, context: &Context<'_>) -> String {
        let Some(build) = self.of(context) else { return "log".to_owned() };
        match self.step.and_then(|step| build.step(step)) {
            Some(step) => {
                format!("log of {}, step {}", build.title(), crate::state::text::harmless(&step.place()))
            }
            None => format!("log of {}", build.title()),
        }
    }

    fn subject(&self, context: &Context<'_>) -> Subject {
        let log = self.log(context);
        let of_line = log.and_then(|log| line(log, self.cursor)).and_then(|line| line.step);
        Subject {
            build: self.build,
            step: self.step.or(of_line),
            text: log.map(|log| self.selected_text(log)).unwrap_or_default(),
            ..Subject::default()
        }
    }

    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        self.acted(action, context)
    }

    fn click(&mut self, target: &Target, again: bool, context: &Context<'_>) -> Vec<Wish> {
        let Some(log) = self.log(context) else { return Vec::new() };
        match target {
            Target::Row(_) if again => return self.acted(Action::Move(Move::Enter), context),
            Target::Row(rank) => {
                if let Some(number) = self.shown().nth(log, *rank) {
                    (self.cursor, self.tail) = (number, Tail::Hold);
                }
            }
            Target::Part(_) => self.next_failure(log, context),
            Target::Step(..)
            | Target::Column(_)
            | Target::Build(_)
            | Target::Worker(_)
            | Target::Act(_)
            | Target::Answer(_)
            | Target::Choice(_)
            | Target::Scrub(_) => {}
        }
        Vec::new()
    }

    fn answer(&mut self, _answer: &Answer, _context: &Context<'_>) -> Vec<Wish> {
        Vec::new()
    }

    fn follows(&self) -> Option<BuildId> {
        self.build
    }

    fn setting(&self) -> String {
        let wrap = if self.wrap == Wrap::On { "wrap=on" } else { "wrap=off" };
        let times = match self.times {
            Times::Off => "times=off",
            Times::Relative => "times=relative",
            Times::Absolute => "times=absolute",
        };
        format!("{wrap} {times}")
    }

    fn restore(&mut self, setting: &str) {
        for word in setting.split_whitespace() {
            match word {
                "wrap=on" => self.wrap = Wrap::On,
                "wrap=off" => self.wrap = Wrap::Off(0),
                "times=off" => self.times = Times::Off,
                "times=relative" => self.times = Times::Relative,
                "times=absolute" => self.times = Times::Absolute,
                _ => {}
            }
        }
    }
}

/// A line as a filter sees it.
struct Fit<'a> {
    line: &'a LogLine,
    build: Option<&'a Build>,
}

impl Fields for Fit<'_> {
    fn field(&self, key: &str) -> Option<Cow<'_, str>> {
        let step = || self.build?.step(self.line.step?);
        match key {
            "step" => step().map(|step| Cow::Owned(step.place())),
            "stage" => step().map(|step| Cow::Borrowed(step.planned.stage.as_str())),
            "stream" => Some(Cow::Borrowed(match self.line.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            })),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.line.text)
    }
}

#[cfg(test)]
mod tests;
