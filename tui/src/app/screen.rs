//! What a screen of the console is: it draws itself from borrowed state, and takes commands.

use farm_model::{BuildId, StepId, WorkerId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::effect::Effect;
use crate::state::Farm;

/// What every screen may look at while it draws or decides.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The farm.
    pub farm: &'a Farm,
    /// Nanoseconds since the Unix epoch: the clock, or the point of a recording that is played.
    pub now: i64,
}

/// What a place on the screen stands for when it is clicked.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    /// A key of the hint bar.
    Key(char),
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
pub trait Screen {
    /// What a screen can be told beyond what moves a selection.
    type Command;

    /// Draws it.
    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits);

    /// Does what a key or the palette asks for.
    fn act(&mut self, command: Self::Command, context: &Context<'_>) -> Vec<Effect>;
}
