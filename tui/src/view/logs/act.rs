//! What keys do to the screen of a log.

use super::index::line;
use super::place::{Lay, Spot, Wrap};
use super::{Logs, Sieve, Tail, Times};
use crate::app::action::{Action, Global, Logging, Move};
use crate::app::effect::Effect;
use crate::app::place::Place;
use crate::app::screen::{Context, Wish};
use crate::state::Log;

/// Columns that a key press scrolls sideways.
const ACROSS: usize = 16;

/// Where a page goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Up,
    Down,
}

impl Logs {
    pub(super) fn acted(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        let Some(log) = self.log(context) else { return Vec::new() };
        match action {
            Action::Move(Move::Enter) => return self.enter(log),
            Action::Move(step) => self.go(step, log),
            Action::Log(logging) => return self.logging(logging, log),
            Action::App(Global::NextFailure) => self.next_failure(log, context),
            Action::App(_)
            | Action::Table(_)
            | Action::Farm(_)
            | Action::Stages(_)
            | Action::Lanes(_)
            | Action::Images(_)
            | Action::Play(_) => {}
        }
        Vec::new()
    }

    pub(super) fn lay<'a>(&'a self, log: &'a Log) -> Lay<'a> {
        let (columns, height) = self.size.get();
        Lay { log, index: self.shown(), wrap: self.wrap, columns, height }
    }

    fn enter(&self, log: &Log) -> Vec<Wish> {
        let of_line = line(log, self.cursor).and_then(|line| line.step);
        self.build.map(|build| Wish::Go(Place::Stages(build, self.step.or(of_line)))).into_iter().collect()
    }

    fn go(&mut self, step: Move, log: &Log) {
        let height = self.size.get().1.max(1);
        match step {
            Move::Up => self.up(log),
            Move::Down => self.down(log),
            Move::PageUp => self.page(log, height.saturating_sub(1).max(1), Way::Up),
            Move::PageDown => self.page(log, height.saturating_sub(1).max(1), Way::Down),
            Move::HalfUp => self.page(log, height.div_ceil(2), Way::Up),
            Move::HalfDown => self.page(log, height.div_ceil(2), Way::Down),
            Move::First => {
                self.cursor = self.shown().nth(log, 0).unwrap_or_default();
                self.top.set(Spot::default());
            }
            Move::Last => {
                self.cursor = self.shown().last(log).unwrap_or_default();
                self.tail = Tail::Follow;
                return;
            }
            Move::Left => return self.across(|skipped| skipped.saturating_sub(ACROSS)),
            Move::Right => return self.across(|skipped| skipped + ACROSS),
            Move::Enter => return,
        }
        self.tail = Tail::Hold;
    }

    /// Scrolls sideways; breaking lines ends with that.
    fn across(&mut self, to: impl Fn(usize) -> usize) {
        /// No line is longer than this.
        const FAR: usize = 1 << 15;
        self.wrap = match self.wrap {
            Wrap::On => Wrap::On,
            Wrap::Off(skipped) => Wrap::Off(to(skipped).min(FAR)),
        };
    }

    fn up(&mut self, log: &Log) {
        let (top, lay) = (self.top.get(), self.lay(log));
        if top.number == self.cursor && top.row > 0 {
            self.top.set(Spot { row: top.row - 1, ..top });
            return;
        }
        let Some(before) = lay.index.step(log, self.cursor, -1) else { return };
        let rows = lay.rows(before);
        if before < top.number && rows > lay.height {
            // Of a tall line its end comes first.
            self.top.set(Spot { number: before, row: rows.saturating_sub(lay.height.max(1)) });
        }
        self.cursor = before;
    }

    fn down(&mut self, log: &Log) {
        let (top, lay) = (self.top.get(), self.lay(log));
        let hidden = lay.rows(self.cursor).saturating_sub(top.row) > lay.height.max(1);
        if top.number == self.cursor && hidden {
            self.top.set(Spot { row: top.row + 1, ..top });
            return;
        }
        self.cursor = lay.index.step(log, self.cursor, 1).unwrap_or_default();
    }

    fn page(&mut self, log: &Log, rows: usize, way: Way) {
        let lay = self.lay(log);
        let Some(bottom) = lay.bottom() else { return };
        let before = self.top.get();
        let top = match way {
            Way::Up => lay.up(before, rows),
            Way::Down => lay.down(before, rows).min(bottom),
        };
        // Where there is no more page, the last line is next.
        let is_end = way == Way::Down && before == bottom;
        let cursor = if is_end { lay.index.last(log).unwrap_or_default() } else { top.number };
        self.top.set(top);
        self.cursor = cursor;
    }

    fn logging(&mut self, logging: Logging, log: &Log) -> Vec<Wish> {
        let of_line = line(log, self.cursor).and_then(|line| line.step);
        match logging {
            Logging::Follow => {
                self.tail = match self.tail {
                    Tail::Follow => Tail::Hold,
                    Tail::Hold => Tail::Follow,
                }
            }
            Logging::Wrap => {
                self.wrap = if self.wrap == Wrap::On { Wrap::Off(0) } else { Wrap::On };
            }
            Logging::Timestamps => {
                self.times = match self.times {
                    Times::Off => Times::Relative,
                    Times::Relative => Times::Absolute,
                    Times::Absolute => Times::Off,
                }
            }
            Logging::Merge => {
                self.step = if self.step.is_some() { None } else { of_line };
                self.select();
            }
            Logging::Only => {
                self.sieve = match self.sieve {
                    Sieve::Mark => Sieve::Only,
                    Sieve::Only => Sieve::Mark,
                }
            }
            Logging::Select => self.mark = if self.mark.is_some() { None } else { Some(self.cursor) },
            Logging::NextMatch => return self.match_from_here(log, 1),
            Logging::PreviousMatch => return self.match_from_here(log, -1),
            Logging::Stream => return self.stream(None),
            Logging::StreamStep => return self.stream(self.step.or(of_line)),
        }
        Vec::new()
    }

    fn stream(&self, step: Option<farm_model::StepId>) -> Vec<Wish> {
        self.build.map(|build| Wish::Effect(Effect::Stream { build, step })).into_iter().collect()
    }

    fn match_from_here(&mut self, log: &Log, by: i64) -> Vec<Wish> {
        if self.filter.is_empty() {
            return vec![Wish::Say("nothing is searched for: type `/`".to_owned())];
        }
        let (rank, count) = (self.found.rank(log, self.cursor), self.found.len(log));
        let is_found = self.found.nth(log, rank) == Some(self.cursor);
        let (next, round) = match (by > 0, rank) {
            _ if count == 0 => {
                return vec![Wish::Say(format!("`{}` is not in the log", self.filter.as_str()))];
            }
            (true, rank) if rank + usize::from(is_found) < count => (rank + usize::from(is_found), false),
            (true, _) => (0, true),
            (false, 0) => (count - 1, true),
            (false, rank) => (rank - 1, false),
        };
        if let Some(number) = self.found.nth(log, next) {
            (self.cursor, self.tail) = (number, Tail::Hold);
        }
        let side = if by > 0 { "first" } else { "last" };
        if round { vec![Wish::Say(format!("on from the {side} one"))] } else { Vec::new() }
    }

    pub(super) fn next_failure(&mut self, log: &Log, context: &Context<'_>) {
        let failures = self.of(context).map(|build| self.failures.of(build)).unwrap_or_default();
        let after = failures.iter().position(|failure| failure.number > self.cursor);
        let at = if self.tail == Tail::Follow { 0 } else { after.unwrap_or_default() };
        let Some(failure) = failures.get(at) else { return };
        if self.step.is_some_and(|step| step != failure.step) {
            self.step = None;
            self.select();
            self.search(context);
        }
        let Some(number) = self.shown().near(log, failure.number) else { return };
        (self.cursor, self.tail, self.pinned) = (number, Tail::Hold, at);
    }
}
