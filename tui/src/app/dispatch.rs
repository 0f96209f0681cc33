//! What becomes of an action: the console does what is the same everywhere, the screen the rest.

use farm_model::{BuildId, StepId};

use super::action::{Action, Global, Move};
use super::effect::{Effect, Playback};
use super::filter::Filter;
use super::overlay::Overlay;
use super::place::{Place, View};
use super::prompt::Prompt;
use super::screen::{Access, Subject, Wish};
use super::world::{failed_step, failures};
use super::{App, Need, orders};
use crate::state::Phase;
use crate::view::glyphs::GlyphSet;
use crate::view::theme::{Theme, ThemeName};
use crate::view::{people, step_text};

/// The slowest and the fastest that keys play a recording.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.25..=64.0;
/// Places that one can go back to.
const MOST_TRAIL: usize = 50;
/// Filters that are kept.
pub(super) const MOST_HISTORY: usize = 50;

impl App {
    /// Does what is asked for.
    pub(super) fn act(&mut self, action: Action, now: i64) {
        self.want(Need::Now);
        self.changed = Need::Now;
        match action {
            Action::App(global) => self.global(global, now),
            Action::Farm(deed) => {
                let order = orders::order(deed, &self.subject(now), &self.world.context(now));
                match (order, &self.world.access) {
                    (_, Access::ReadOnly { reason }) => {
                        let text = format!("this console is read-only: {reason}");
                        self.say(text, true, now);
                    }
                    (Ok(Some(order)), Access::Full) => self.overlay = Overlay::Confirm(order),
                    (Ok(None), Access::Full) => self.screen_act(action, now),
                    (Err(why), Access::Full) => self.say(why, true, now),
                }
            }
            Action::Play(playback) if self.replay => self.effects.push(Effect::Play(playback)),
            Action::Play(_) => self.say("only a recording can be played", true, now),
            Action::Move(_)
            | Action::Table(_)
            | Action::Stages(_)
            | Action::Log(_)
            | Action::Lanes(_)
            | Action::Images(_) => self.screen_act(action, now),
        }
        if self.prepared != i64::MIN {
            self.prepare(now);
        }
    }

    fn screen_act(&mut self, action: Action, now: i64) {
        let view = self.place.view();
        let context = self.world.context(now);
        let screen = self.screens.iter_mut().find(|screen| screen.view() == view);
        let wishes = screen.map(|screen| screen.act(action, &context)).unwrap_or_default();
        self.perform(wishes, now);
    }

    /// Does what a screen wants.
    pub(super) fn perform(&mut self, wishes: Vec<Wish>, now: i64) {
        for wish in wishes {
            match wish {
                Wish::Effect(Effect::Act(order)) | Wish::Confirm(order) => match &self.world.access {
                    Access::Full => self.overlay = Overlay::Confirm(order),
                    Access::ReadOnly { reason } => {
                        let text = format!("this console is read-only: {reason}");
                        self.say(text, true, now);
                    }
                },
                Wish::Effect(effect) => self.effects.push(effect),
                Wish::Go(place) => self.go(place, now),
                Wish::Back => self.back(now),
                Wish::Say(text) => self.say(text, false, now),
            }
        }
    }

    /// Goes somewhere.
    pub(super) fn go(&mut self, place: Place, now: i64) {
        if !self.screens.iter().any(|screen| screen.view() == place.view()) {
            return self.say(format!("there is no view `{}` here", place.view().name()), true, now);
        }
        if place != self.place {
            let before = std::mem::replace(&mut self.place, place);
            // Going to and fro between two builds does not pile up.
            self.trail.retain(|place| *place != before);
            self.trail.push(before);
            let over = self.trail.len().saturating_sub(MOST_TRAIL);
            self.trail.drain(..over);
        }
        self.arrive(now);
    }

    /// Takes the filter away where there is one, then what was opened on the screen; then goes back.
    fn back(&mut self, now: i64) {
        if self.filters.get(&self.place.view()).is_some_and(|filter| !filter.as_str().is_empty()) {
            return self.set_filter(Filter::default(), now);
        }
        let view = self.place.view();
        let screen = self.screens.iter_mut().find(|screen| screen.view() == view);
        if screen.is_some_and(|screen| screen.back()) {
            self.prepare(now);
            return;
        }
        if let Some(place) = self.trail.pop() {
            self.place = place;
            self.arrive(now);
        } else if self.place != Place::Overview {
            self.place = Place::Overview;
            self.arrive(now);
        }
    }

    fn arrive(&mut self, now: i64) {
        if let Some(build) = self.place.build() {
            self.world.look(build, now);
        }
        let view = self.place.view();
        let filter = self.filters.get(&view).cloned().unwrap_or_default();
        let context = self.world.context(now);
        if let Some(screen) = self.screens.iter_mut().find(|screen| screen.view() == view) {
            screen.open(&self.place, &context);
            screen.filter(&filter, &context);
        }
        self.prepare(now);
        self.want(Need::Now);
    }

    pub(super) fn subject(&self, now: i64) -> Subject {
        let view = self.place.view();
        let screen = self.screens.iter().find(|screen| screen.view() == view);
        let mut subject = screen.map(|screen| screen.subject(&self.world.context(now))).unwrap_or_default();
        subject.build = subject.build.or(self.place.build());
        subject
    }

    fn global(&mut self, global: Global, now: i64) {
        match global {
            Global::Quit => self.effects.push(Effect::Quit),
            Global::Back => self.back(now),
            Global::Help => self.overlay = Overlay::Help { scroll: 0 },
            Global::Palette => self.overlay = Overlay::Palette { prompt: Prompt::default(), chosen: 0 },
            Global::Filter => {
                let before = self.filters.get(&self.place.view()).cloned().unwrap_or_default();
                self.overlay =
                    Overlay::Filter { prompt: Prompt::with(before.as_str()), before, recalled: None };
            }
            Global::ToggleFilter => self.toggle_filter(now),
            Global::View(view) => self.view(view, now),
            Global::NextView => self.turn(1, now),
            Global::PreviousView => self.turn(View::ALL.len() - 1, now),
            // A log goes to the failures in it.
            Global::NextFailure if self.place.view() == View::Log && self.has_failure_here(now) => {
                self.screen_act(Action::App(Global::NextFailure), now);
            }
            Global::NextFailure => self.next_failure(now),
            Global::Freeze => {
                let farm = &self.world.farm;
                let frozen =
                    if self.world.frozen.is_some() { None } else { Some(Box::new((farm.clone(), now))) };
                self.world.frozen = frozen;
            }
            Global::Theme => self.theme(self.world.theme.name.next()),
            Global::Glyphs => {
                let at = GlyphSet::ALL.iter().position(|set| *set == self.world.glyphs.set).unwrap_or(0);
                self.world.glyphs = GlyphSet::ALL[(at + 1) % GlyphSet::ALL.len()].glyphs();
            }
            Global::Columns => self.overlay = Overlay::Columns { selected: 0 },
            Global::Picture => self.effects.push(Effect::Picture),
            Global::Why => self.why(now),
            Global::People => {
                let lines = people::lines(&self.world.context(now));
                self.overlay = Overlay::Text { title: "people".to_owned(), lines, scroll: 0 };
            }
            Global::Dismiss => self.screen_act(Action::App(global), now),
            Global::OpenLog => self.view(View::Log, now),
            Global::Slower => self.tempo(0.5, now),
            Global::Faster => self.tempo(2.0, now),
            Global::Copy => {
                let text = self.subject(now).text;
                if text.is_empty() {
                    self.say("nothing is selected", true, now);
                } else {
                    self.say(format!("copied `{text}`"), false, now);
                    self.effects.push(Effect::Copy(text));
                }
            }
        }
    }

    fn tempo(&mut self, times: f64, now: i64) {
        let speed = self.position.map_or(1.0, |position| position.speed) * times;
        let speed = speed.clamp(*SPEEDS.start(), *SPEEDS.end());
        self.act(Action::Play(Playback::Speed(speed)), now);
    }

    pub(super) fn theme(&mut self, name: ThemeName) {
        self.world.theme = Theme::new(name, self.world.depth);
    }

    /// Goes to a view, of what is selected where it is of something.
    fn view(&mut self, view: View, now: i64) {
        let subject = self.subject(now);
        let build = subject.build.or_else(|| self.trail.iter().rev().find_map(Place::build));
        let place = match (view, build) {
            (View::Overview, _) => Place::Overview,
            (View::Workers, _) => Place::Workers(subject.worker),
            (View::Cache, _) => Place::Cache,
            (View::Images, _) => Place::Images(None),
            (View::Actions, _) => Place::Actions,
            (View::Stages, Some(build)) => Place::Stages(build, subject.step),
            (View::Log, Some(build)) => {
                // From all builds the log is wanted whole.
                let step = subject.step.filter(|_| self.place.view() != View::Overview);
                Place::Log(build, step)
            }
            (View::Stages | View::Log, None) => return self.say("no build is selected", true, now),
        };
        self.go(place, now);
    }

    fn turn(&mut self, by: usize, now: i64) {
        let views: Vec<View> = View::ALL
            .into_iter()
            .filter(|view| self.screens.iter().any(|screen| screen.view() == *view))
            .collect();
        let at = views.iter().position(|view| *view == self.place.view()).unwrap_or(0);
        let has_build = self.subject(now).build.is_some();
        for step in 1..=views.len() {
            let view = views[(at + by * step) % views.len()];
            if has_build || !matches!(view, View::Stages | View::Log) {
                return self.view(view, now);
            }
        }
    }

    fn has_failure_here(&self, now: i64) -> bool {
        let context = self.world.context(now);
        self.place.build().and_then(|id| context.build(id)).and_then(failed_step).is_some()
    }

    fn next_failure(&mut self, now: i64) {
        let context = self.world.context(now);
        let failed: Vec<(BuildId, Option<StepId>)> = failures(context.farm)
            .into_iter()
            .map(|id| (id, context.farm.builds().get(&id).and_then(failed_step).map(|step| step.planned.id)))
            .collect();
        let here = self.place.build();
        let at = failed.iter().position(|(id, _)| Some(*id) == here);
        let next = at.map_or(0, |at| at + 1);
        match failed.get(next).or(failed.first()).copied() {
            Some((build, step)) => self.go(Place::Stages(build, step), now),
            None => self.say("nothing has failed", false, now),
        }
    }

    fn why(&mut self, now: i64) {
        let subject = self.subject(now);
        let context = self.world.context(now);
        let found = subject.build.zip(subject.step).and_then(|(id, step)| {
            let build = context.build(id)?;
            Some((build, build.step(step)?))
        });
        match found {
            Some((build, step)) => {
                let lines = step_text::why(build, step, &context);
                self.overlay = Overlay::Text { title: "why".to_owned(), lines, scroll: 0 };
            }
            None => self.say("no step is selected", true, now),
        }
    }

    /// Shows what a filter lets through.
    pub(super) fn set_filter(&mut self, filter: Filter, now: i64) {
        let view = self.place.view();
        let context = self.world.context(now);
        if let Some(screen) = self.screens.iter_mut().find(|screen| screen.view() == view) {
            screen.filter(&filter, &context);
        }
        self.filters.insert(view, filter);
        self.want(Need::Now);
    }

    fn toggle_filter(&mut self, now: i64) {
        let is_set = self.filters.get(&self.place.view()).is_some_and(|filter| !filter.as_str().is_empty());
        let last = self.history.last().cloned().unwrap_or_default();
        self.set_filter(if is_set { Filter::default() } else { Filter::parse(&last) }, now);
    }

    /// Remembers a filter that was typed.
    pub(super) fn recall(&mut self, text: &str) {
        if !text.is_empty() {
            self.history.retain(|known| known != text);
            self.history.push(text.to_owned());
            let over = self.history.len().saturating_sub(MOST_HISTORY);
            self.history.drain(..over);
        }
    }

    /// Moves the selection so many times.
    pub(super) fn scroll(&mut self, step: Move, times: usize, now: i64) {
        for _ in 0..times {
            self.screen_act(Action::Move(step), now);
        }
        self.changed = Need::Now;
        self.want(Need::Now);
    }
}

/// Whether a phase is one that can be moved to another worker.
pub(super) fn is_running(phase: Phase) -> bool {
    matches!(phase, Phase::Running { .. })
}
