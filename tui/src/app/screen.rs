//! What a screen of the console is: it draws itself from borrowed state, and takes commands.

use std::collections::BTreeMap;
use std::fmt::Debug;

use farm_model::{BuildId, StepId, WorkerId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::action::Action;
use super::effect::{Answer, Effect, Order, Query};
use super::estimate::Estimates;
use super::filter::Filter;
use super::place::{Place, View};
use crate::state::{Build, Farm, Log};
use crate::view::glyphs::Glyphs;
use crate::view::table::{Column, TableState};
use crate::view::theme::Theme;

/// What every screen may look at while it draws or decides.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The farm.
    pub farm: &'a Farm,
    /// Nanoseconds since the Unix epoch: the clock, or the point of a recording that is played.
    pub now: i64,
    /// Colours.
    pub theme: &'a Theme,
    /// Signs.
    pub glyphs: &'a Glyphs,
    /// The logs of the builds that are followed.
    pub logs: &'a BTreeMap<BuildId, Log>,
    /// The builds that are followed, as their own logs tell them; also those that were over before anybody looked.
    pub details: &'a BTreeMap<BuildId, Build>,
    /// How long builds still take.
    pub estimates: &'a Estimates,
    /// What the person may do.
    pub access: &'a Access,
}

impl<'a> Context<'a> {
    /// All that is known of a build.
    pub fn build(&self, id: BuildId) -> Option<&'a Build> {
        let told = self.farm.builds().get(&id);
        let is_short = told.is_none_or(|build| build.requested().is_none());
        if is_short {
            self.details.get(&id).filter(|build| build.requested().is_some()).or(told)
        } else {
            told
        }
    }

    /// The last line that a step has written, where its build is followed.
    pub fn last_line(&self, id: BuildId, step: StepId) -> Option<&'a str> {
        let line = &self.details.get(&id)?.step(step)?.last_line;
        (!line.is_empty()).then_some(line.as_str())
    }
}

/// What the person at the console may do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Access {
    /// Everything.
    #[default]
    Full,
    /// Look.
    ReadOnly {
        /// Why no more, in words: a lower-case fragment.
        reason: String,
    },
}

/// What is selected.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subject {
    /// A build.
    pub build: Option<BuildId>,
    /// A step of it.
    pub step: Option<StepId>,
    /// A worker.
    pub worker: Option<WorkerId>,
    /// The name of an image.
    pub image: Option<String>,
    /// What to put into the clipboard.
    pub text: String,
}

/// What a screen wants of the console.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Something done outside of the console.
    Effect(Effect),
    /// To go somewhere.
    Go(Place),
    /// To go back to where the person was.
    Back,
    /// An order carried out, after the person has confirmed it.
    Confirm(Order),
    /// A word to the person.
    Say(String),
}

/// What a place on the screen stands for when it is clicked.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A row of the list, by its position in what is shown.
    Row(usize),
    /// The head of a column: sort by it.
    Column(usize),
    /// A build.
    Build(BuildId),
    /// A step.
    Step(BuildId, StepId),
    /// A worker.
    Worker(WorkerId),
    /// Something that the screen understands itself: what, by its number.
    Part(u32),
    /// What a key of the hint bar does, or a choice of a dialog.
    Act(Action),
    /// A choice of a dialog.
    Answer(bool),
    /// An entry of a list that lies above the screen.
    Choice(usize),
    /// A point between 0 and 1000 of the time line of a recording.
    Scrub(u16),
}

/// Where on the screen what lies; filled in while it is drawn. What comes later lies on top.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    places: Vec<(Rect, Target)>,
}

impl Hits {
    /// A place stands for something.
    pub fn add(&mut self, area: Rect, target: Target) {
        self.places.push((area, target));
    }

    /// What a cell stands for.
    pub fn at(&self, column: u16, row: u16) -> Option<&Target> {
        let inside = |area: &Rect| area.contains((column, row).into());
        self.places.iter().rev().find(|(area, _)| inside(area)).map(|(_, target)| target)
    }
}

/// A screen: state of its own (what is selected, how it is sorted, where it is scrolled to), and pure drawing.
///
/// The console takes care of everything that is the same on all screens: navigation, the filter's prompt, dialogs, deeds done
/// to the [`Subject`]. A screen gets the actions that are left: movement, the table, and its own.
pub trait Screen: Debug {
    /// Which view it is.
    fn view(&self) -> View;

    /// The person comes to it.
    fn open(&mut self, _place: &Place, _context: &Context<'_>) {}

    /// Something else is to be shown; called when the filter has changed.
    fn filter(&mut self, filter: &Filter, context: &Context<'_>);

    /// Derives what is drawn: called before it is drawn when something has happened, some times a second at most, and after
    /// every input.
    fn prepare(&mut self, context: &Context<'_>);

    /// Draws it.
    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits);

    /// A few words for the top of the screen: what is shown, and how much of it.
    fn title(&self, context: &Context<'_>) -> String;

    /// What is selected.
    fn subject(&self, context: &Context<'_>) -> Subject;

    /// Does what a key, the mouse wheel or the palette asks for.
    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish>;

    /// A place on it was clicked; `again` when it was selected already. Heads of columns come as an action.
    fn click(&mut self, target: &Target, again: bool, context: &Context<'_>) -> Vec<Wish>;

    /// The console was told something.
    fn answer(&mut self, _answer: &Answer, _context: &Context<'_>) -> Vec<Wish> {
        Vec::new()
    }

    /// Questions that it has come to; each is told once. Asked after everything that happens to it.
    fn asks(&mut self) -> Vec<Query> {
        Vec::new()
    }

    /// Goes back within it, from what was opened on it; whether there was something.
    fn back(&mut self) -> bool {
        false
    }

    /// The columns of its table, and which of them are shown.
    fn columns(&self) -> Option<(&'static [Column], &TableState)> {
        None
    }

    /// The build whose log it shows.
    fn follows(&self) -> Option<BuildId> {
        None
    }

    /// What of it is remembered until the next time, in one line; empty for nothing.
    fn setting(&self) -> String {
        String::new()
    }

    /// Takes what [`Screen::setting`] gave; what is not understood is passed over.
    fn restore(&mut self, _setting: &str) {}
}
