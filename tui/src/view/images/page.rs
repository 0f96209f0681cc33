//! What a page of images is, and where it leads.

use std::fmt::Debug;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::action::{Move, Tabular};
use crate::app::effect::{Answer, Query};
use crate::app::filter::Filter;
use crate::app::screen::{Context, Hits, Subject};
use crate::view::table::{Column, TableState};

/// Where a page leads.
#[derive(Debug)]
pub(in crate::view) enum Turn {
    /// To another page that lies on it.
    Open(Box<dyn Page>),
    /// Back to the page beneath.
    Close,
}

/// What a page can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::view) enum Ask {
    /// To move its selection.
    Move(Move),
    /// To order its table otherwise.
    Table(Tabular),
    /// The files of what is selected.
    Files,
    /// What the layers of what is selected waste.
    Waste,
}

/// One page of images: a list with a table of its own.
pub(in crate::view) trait Page: Debug {
    /// What it needs to know, each once.
    fn asks(&mut self) -> Vec<Query>;

    /// Takes what was asked for, if this is it.
    fn answer(&mut self, answer: &Answer, context: &Context<'_>);

    /// What of it is shown.
    fn filter(&mut self, filter: &Filter);

    /// Derives what is drawn.
    fn prepare(&mut self, context: &Context<'_>);

    /// Draws it.
    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits);

    /// A few words for the top of the screen.
    fn title(&self, context: &Context<'_>) -> String;

    /// What is selected.
    fn subject(&self, context: &Context<'_>) -> Subject;

    /// Does what is asked for.
    fn act(&mut self, ask: Ask, context: &Context<'_>) -> Vec<Turn>;

    /// Selects a row.
    fn select_at(&mut self, row: usize);

    /// Its table.
    fn table(&self) -> (&'static [Column], &TableState);

    /// A row was clicked.
    fn click(&mut self, row: usize, again: bool, context: &Context<'_>) -> Vec<Turn> {
        self.select_at(row);
        if again { self.act(Ask::Move(Move::Enter), context) } else { Vec::new() }
    }
}
