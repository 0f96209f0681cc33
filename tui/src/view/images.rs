//! Images: how large they are and become, their layers and what these waste, their files, and how two of them differ.
//!
//! A stack of pages, of which the topmost is shown. What is not known is asked for when a page needs it, and a page says so
//! until the answer comes.

mod asked;
mod list;
mod page;
mod sizes;

use std::mem;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::compare::Compare;
use super::layers::Layers;
use super::table::{Column, TableState};
use crate::app::action::{Action, Imaging};
use crate::app::effect::{Answer, Query};
use crate::app::filter::Filter;
use crate::app::place::{Place, View};
use crate::app::screen::{Context, Hits, Screen, Subject, Target, Wish};
pub(super) use asked::Asked;
use list::ImageList;
pub(super) use page::{Ask, Page, Turn};
pub(super) use sizes::{change, change_style};

/// Pages that lie on each other at most.
const MOST_PAGES: usize = 20;

/// The screen of images.
#[derive(Debug, Default)]
pub struct Images {
    list: ImageList,
    /// What lies on the list, the topmost last.
    pages: Vec<Box<dyn Page>>,
    /// The image to compare with.
    mark: Option<String>,
    filter: Filter,
    asks: Vec<Query>,
}

impl Images {
    fn top(&self) -> &dyn Page {
        self.pages.last().map_or(&self.list, |page| page.as_ref())
    }

    fn top_mut(&mut self) -> &mut dyn Page {
        match self.pages.last_mut() {
            Some(page) => page.as_mut(),
            None => &mut self.list,
        }
    }

    fn push(&mut self, mut page: Box<dyn Page>, context: &Context<'_>) {
        if self.pages.len() < MOST_PAGES {
            page.prepare(context);
            self.pages.push(page);
        }
    }

    fn turn(&mut self, turns: Vec<Turn>, context: &Context<'_>) {
        for turn in turns {
            match turn {
                Turn::Open(page) => self.push(page, context),
                Turn::Close => {
                    self.pages.pop();
                }
            }
        }
    }

    /// The image that the page is about.
    fn image(&self, context: &Context<'_>) -> Option<String> {
        self.top().subject(context).image
    }

    fn marked(&mut self, context: &Context<'_>) -> Vec<Wish> {
        let image = self.image(context);
        self.mark = if self.mark == image { None } else { image };
        self.list.mark(self.mark.clone());
        match &self.mark {
            Some(mark) => vec![Wish::Say(format!("`{mark}` is marked: compare another with it"))],
            None => vec![Wish::Say("no image is marked".to_owned())],
        }
    }

    fn compared(&mut self, context: &Context<'_>) -> Vec<Wish> {
        match (&self.mark, self.image(context)) {
            (Some(before), Some(after)) if *before != after => {
                let page = Box::new(Compare::new(before.clone(), after));
                self.push(page, context);
                Vec::new()
            }
            (Some(_), Some(_)) => vec![Wish::Say("that is the marked image: select another".to_owned())],
            (None, _) => vec![Wish::Say("mark the image to compare with first".to_owned())],
            (Some(_), None) => vec![Wish::Say("no image is selected".to_owned())],
        }
    }
}

impl Screen for Images {
    fn view(&self) -> View {
        View::Images
    }

    fn open(&mut self, place: &Place, context: &Context<'_>) {
        self.list.refresh(context);
        if let Place::Images(Some(image)) = place {
            self.pages.clear();
            self.list.select(image);
            self.push(Box::new(Layers::new(image.clone())), context);
        }
        self.prepare(context);
    }

    fn back(&mut self) -> bool {
        self.pages.pop().is_some()
    }

    fn asks(&mut self) -> Vec<Query> {
        let asked = self.top_mut().asks();
        self.asks.extend(asked);
        mem::take(&mut self.asks)
    }

    fn filter(&mut self, filter: &Filter, context: &Context<'_>) {
        self.filter = filter.clone();
        self.prepare(context);
    }

    fn prepare(&mut self, context: &Context<'_>) {
        let filter = self.filter.clone();
        let page = self.top_mut();
        page.filter(&filter);
        page.prepare(context);
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let area = area.intersection(buffer.area);
        if !area.is_empty() {
            self.top().draw(context, area, buffer, hits);
        }
    }

    fn title(&self, context: &Context<'_>) -> String {
        self.top().title(context)
    }

    fn subject(&self, context: &Context<'_>) -> Subject {
        self.top().subject(context)
    }

    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        let ask = match action {
            Action::Images(Imaging::Mark) => return self.marked(context),
            Action::Images(Imaging::Compare) => return self.compared(context),
            Action::Images(Imaging::Files) => Ask::Files,
            Action::Images(Imaging::Waste) => Ask::Waste,
            Action::Move(step) => Ask::Move(step),
            Action::Table(tabular) => Ask::Table(tabular),
            Action::App(_)
            | Action::Farm(_)
            | Action::Stages(_)
            | Action::Log(_)
            | Action::Lanes(_)
            | Action::Play(_) => return Vec::new(),
        };
        let turns = self.top_mut().act(ask, context);
        self.turn(turns, context);
        Vec::new()
    }

    fn click(&mut self, target: &Target, again: bool, context: &Context<'_>) -> Vec<Wish> {
        let Target::Row(at) = target else { return Vec::new() };
        let turns = self.top_mut().click(*at, again, context);
        self.turn(turns, context);
        Vec::new()
    }

    fn answer(&mut self, answer: &Answer, context: &Context<'_>) -> Vec<Wish> {
        if matches!(answer, Answer::Log { .. } | Answer::Done(_)) {
            return Vec::new();
        }
        // A page that lies beneath may be the one that asked.
        self.list.answer(answer, context);
        for page in &mut self.pages {
            page.answer(answer, context);
        }
        self.prepare(context);
        Vec::new()
    }

    fn columns(&self) -> Option<(&'static [Column], &TableState)> {
        Some(self.top().table())
    }

    fn setting(&self) -> String {
        self.list.setting()
    }

    fn restore(&mut self, setting: &str) {
        self.list.restore(setting);
    }
}

#[cfg(test)]
mod tests;
