//! Keys, the mouse, pasted text and new sizes.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};

use super::action::{Action, Global, Move, Tabular};
use super::effect::{Effect, Playback};
use super::filter::Filter;
use super::keymap::Key;
use super::overlay::Overlay;
use super::palette::{self, Run, Scene};
use super::prompt::{Prompt, Typed};
use super::screen::Target;
use super::{App, Need};

/// Two clicks on a thing within this time, in nanoseconds, open it.
const DOUBLE: i64 = 500_000_000;
/// Rows that a turn of the wheel moves.
const WHEEL: usize = 3;
/// Lines that a page of help or text has at least.
const PAGE: usize = 10;

impl App {
    /// Takes what the terminal says, and gives what is to be done.
    pub fn input(&mut self, event: &Event, now: i64) -> Vec<Effect> {
        self.want(Need::Now);
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key, now),
            Event::Mouse(mouse) => self.mouse(*mouse, now),
            Event::Paste(text) => self.paste(text, now),
            Event::Key(_) | Event::Resize(..) | Event::FocusGained | Event::FocusLost => {}
        }
        std::mem::take(&mut self.effects)
    }

    fn key(&mut self, key: &KeyEvent, now: i64) {
        let overlay = std::mem::replace(&mut self.overlay, Overlay::None);
        match overlay {
            Overlay::None => {
                let command = self.keymap.command(self.place.view(), self.replay, Key::of(key));
                if let Some(command) = command {
                    self.act(command.action, now);
                }
            }
            Overlay::Filter { prompt, before, recalled } => {
                self.filter_key(prompt, before, recalled, key, now);
            }
            Overlay::Palette { prompt, chosen } => self.palette_key(prompt, chosen, key, now),
            Overlay::Confirm(order) => {
                let typed = Key::of(key).types();
                // Enter is pressed too easily.
                if matches!(typed, Some('y' | 'Y')) {
                    self.effects.push(Effect::Act(order));
                } else if key.code != KeyCode::Esc && !matches!(typed, Some('n' | 'N' | 'q')) {
                    self.overlay = Overlay::Confirm(order);
                }
            }
            Overlay::Help { scroll } => {
                if let Some(scroll) = self.scrolled(scroll, key) {
                    self.overlay = Overlay::Help { scroll };
                }
            }
            Overlay::Text { title, lines, scroll } => {
                if let Some(scroll) = self.scrolled(scroll, key) {
                    self.overlay = Overlay::Text { title, lines, scroll };
                }
            }
            Overlay::Columns { selected } => self.columns_key(selected, key, now),
        }
    }

    /// What a key does to a text above the screen; none when it closes it.
    fn scrolled(&mut self, scroll: usize, key: &KeyEvent) -> Option<usize> {
        let action =
            self.keymap.command(self.place.view(), self.replay, Key::of(key)).map(|command| command.action);
        let Some(Action::Move(step)) = action else {
            if action == Some(Action::App(Global::Quit)) && Key::of(key).types().is_none() {
                self.effects.push(Effect::Quit);
            }
            return None;
        };
        match step {
            Move::Up => Some(scroll.saturating_sub(1)),
            Move::Down => Some(scroll + 1),
            Move::PageUp | Move::HalfUp => Some(scroll.saturating_sub(PAGE)),
            Move::PageDown | Move::HalfDown => Some(scroll + PAGE),
            Move::First => Some(0),
            Move::Last => Some(usize::MAX / 2),
            Move::Left | Move::Right => Some(scroll),
            Move::Enter => None,
        }
    }

    fn filter_key(
        &mut self,
        mut prompt: Prompt,
        before: Filter,
        recalled: Option<usize>,
        key: &KeyEvent,
        now: i64,
    ) {
        let typed = prompt.key(key);
        match typed {
            Typed::Accepted => {
                let filter = Filter::parse(prompt.text());
                self.recall(filter.as_str().to_owned().as_str());
                if let Some(error) = filter.error().map(str::to_owned) {
                    self.say(error, true, now);
                }
                self.set_filter(filter, now);
            }
            Typed::Cancelled => self.set_filter(before, now),
            Typed::Changed => {
                self.set_filter(Filter::parse(prompt.text()), now);
                self.overlay = Overlay::Filter { prompt, before, recalled };
            }
            Typed::Older | Typed::Newer => {
                let last = self.history.len();
                let at = recalled.unwrap_or(last);
                let at = if typed == Typed::Older { at.saturating_sub(1) } else { (at + 1).min(last) };
                let text = self.history.get(at).cloned().unwrap_or_default();
                self.set_filter(Filter::parse(&text), now);
                self.overlay = Overlay::Filter { prompt: Prompt::with(&text), before, recalled: Some(at) };
            }
            Typed::Same | Typed::Complete | Typed::CompleteBack => {
                self.overlay = Overlay::Filter { prompt, before, recalled };
            }
        }
    }

    pub(super) fn scene(&self, now: i64) -> Scene<'_> {
        let view = self.place.view();
        let screen = self.screens.iter().find(|screen| screen.view() == view);
        let columns = screen.and_then(|screen| screen.columns()).map_or(&[][..], |(columns, _)| columns);
        Scene { view, replay: self.replay, columns, context: self.world.context(now) }
    }

    fn palette_key(&mut self, mut prompt: Prompt, chosen: usize, key: &KeyEvent, now: i64) {
        let typed = prompt.key(key);
        let entries = palette::entries(prompt.text(), &self.scene(now));
        let count = entries.len().max(1);
        let chosen = chosen.min(count - 1);
        let chosen = match typed {
            Typed::Cancelled => return,
            Typed::Accepted => {
                match entries.into_iter().nth(chosen) {
                    Some(entry) if entry.text == "filter " => {
                        self.overlay = Overlay::Palette { prompt: Prompt::with("filter "), chosen: 0 };
                    }
                    Some(entry) => self.run(entry.run, now),
                    None => self.say(format!("no command is called `{}`", prompt.text()), true, now),
                }
                return;
            }
            Typed::Complete => {
                // The first time what is chosen is typed out; when that is there already, the next is.
                let text = entries.get(chosen).map_or("", |entry| entry.text.as_str());
                if prompt.text() != text && !text.is_empty() {
                    prompt = Prompt::with(text);
                }
                0
            }
            Typed::CompleteBack | Typed::Older => chosen.checked_sub(1).unwrap_or(count - 1),
            Typed::Newer => (chosen + 1) % count,
            Typed::Changed => 0,
            Typed::Same => chosen,
        };
        self.overlay = Overlay::Palette { prompt, chosen };
    }

    fn run(&mut self, run: Run, now: i64) {
        match run {
            Run::Act(action) => self.act(action, now),
            Run::Theme(theme) => self.theme(theme),
            Run::Glyphs(set) => self.world.glyphs = set.glyphs(),
            Run::Go(place) => self.go(place, now),
            Run::Filter(text) => {
                self.recall(&text);
                self.set_filter(Filter::parse(&text), now);
            }
        }
    }

    fn columns_key(&mut self, selected: usize, key: &KeyEvent, now: i64) {
        let last = self.scene(now).columns.len().saturating_sub(1);
        let action =
            self.keymap.command(self.place.view(), self.replay, Key::of(key)).map(|command| command.action);
        let selected = match action {
            Some(Action::Move(Move::Up)) => selected.saturating_sub(1),
            Some(Action::Move(Move::Down)) => (selected + 1).min(last),
            Some(Action::Move(Move::First)) => 0,
            Some(Action::Move(Move::Last)) => last,
            Some(Action::Move(Move::Enter | Move::Left | Move::Right)) => {
                self.act(Action::Table(Tabular::Toggle(selected)), now);
                selected
            }
            _ if key.code == KeyCode::Char(' ') => {
                self.act(Action::Table(Tabular::Toggle(selected)), now);
                selected
            }
            _ if key.code == KeyCode::Char('s') => {
                self.act(Action::Table(Tabular::Sort(selected)), now);
                selected
            }
            _ => return,
        };
        self.overlay = Overlay::Columns { selected };
    }

    fn paste(&mut self, text: &str, now: i64) {
        match &mut self.overlay {
            Overlay::Filter { prompt, .. } => {
                prompt.insert(text);
                let filter = Filter::parse(prompt.text());
                self.set_filter(filter, now);
            }
            Overlay::Palette { prompt, chosen } => {
                prompt.insert(text);
                *chosen = 0;
            }
            Overlay::None
            | Overlay::Confirm(_)
            | Overlay::Help { .. }
            | Overlay::Columns { .. }
            | Overlay::Text { .. } => {}
        }
    }

    fn mouse(&mut self, mouse: MouseEvent, now: i64) {
        let target = self.hits.at(mouse.column, mouse.row).cloned();
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => self.press(target, now),
            MouseEventKind::Drag(MouseButton::Left) => {
                if let Some(Target::Scrub(part)) = target {
                    self.act(Action::Play(Playback::Seek(f64::from(part.min(1000)) / 1000.0)), now);
                }
            }
            MouseEventKind::ScrollUp => self.wheel(Move::Up, now),
            MouseEventKind::ScrollDown => self.wheel(Move::Down, now),
            MouseEventKind::ScrollLeft => self.wheel(Move::Left, now),
            MouseEventKind::ScrollRight => self.wheel(Move::Right, now),
            MouseEventKind::Down(_)
            | MouseEventKind::Up(_)
            | MouseEventKind::Drag(_)
            | MouseEventKind::Moved => {
                // Nothing on the screen follows the pointer.
                self.need = self.need.min(Need::Soon);
            }
        }
    }

    fn wheel(&mut self, step: Move, now: i64) {
        match &mut self.overlay {
            Overlay::None => self.scroll(step, WHEEL, now),
            Overlay::Help { scroll } | Overlay::Text { scroll, .. } => {
                *scroll = if step == Move::Up { scroll.saturating_sub(WHEEL) } else { *scroll + WHEEL };
            }
            Overlay::Palette { chosen: selected, .. } | Overlay::Columns { selected } => {
                *selected = if step == Move::Up { selected.saturating_sub(1) } else { *selected + 1 };
            }
            Overlay::Filter { .. } | Overlay::Confirm(_) => {}
        }
    }

    fn press(&mut self, target: Option<Target>, now: i64) {
        let again = match (&self.clicked, &target) {
            (Some((at, before)), Some(target)) => before == target && (0..DOUBLE).contains(&(now - at)),
            (None | Some(_), None) | (None, Some(_)) => false,
        };
        self.clicked = target.clone().map(|target| (now, target));
        let overlay = std::mem::replace(&mut self.overlay, Overlay::None);
        match (overlay, target) {
            (Overlay::None, Some(target)) => self.click(&target, again, now),
            (Overlay::Confirm(order), Some(Target::Answer(yes))) => {
                if yes {
                    self.effects.push(Effect::Act(order));
                }
            }
            // A dialog that changes something is closed by an answer alone.
            (overlay @ Overlay::Confirm(_), _) => self.overlay = overlay,
            (Overlay::Palette { prompt, .. }, Some(Target::Choice(choice))) => {
                let entry = palette::entries(prompt.text(), &self.scene(now)).into_iter().nth(choice);
                if let Some(entry) = entry {
                    self.run(entry.run, now);
                }
            }
            (Overlay::Columns { .. }, Some(Target::Choice(choice))) => {
                self.act(Action::Table(Tabular::Toggle(choice)), now);
                self.overlay = Overlay::Columns { selected: choice };
            }
            // What was typed of a filter holds.
            (_, _) => {}
        }
    }

    fn click(&mut self, target: &Target, again: bool, now: i64) {
        match target {
            Target::Act(action) => self.act(*action, now),
            Target::Column(column) => self.act(Action::Table(Tabular::Sort(*column)), now),
            Target::Scrub(part) => {
                self.act(Action::Play(Playback::Seek(f64::from((*part).min(1000)) / 1000.0)), now);
            }
            Target::Row(_)
            | Target::Build(_)
            | Target::Step(..)
            | Target::Worker(_)
            | Target::Part(_)
            | Target::Answer(_)
            | Target::Choice(_) => {
                let view = self.place.view();
                let context = self.world.context(now);
                let screen = self.screens.iter_mut().find(|screen| screen.view() == view);
                let wishes = screen.map(|screen| screen.click(target, again, &context)).unwrap_or_default();
                self.perform(wishes, now);
                self.changed = Need::Now;
            }
        }
    }
}
