//! Workers: what ran in their slots over time, and what they use of their machines.
//!
//! Sorted and filtered now and then; only the workers that are on the screen are looked at while it is drawn.

mod axis;
mod block;
mod gantt;
mod load;
mod row;
mod rows;

use std::cell::Cell;

use farm_model::{BuildId, StepId, WorkerId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::app::action::{Action, Lanes as Laning, Move};
use crate::app::filter::Filter;
use crate::app::list::List;
use crate::app::place::{Place, View};
use crate::app::screen::{Context, Hits, Screen, Subject, Target, Wish};
use crate::state::Worker;
use crate::view::table::{Column, Side, TableState, put, scroll_bar};
use crate::view::text::{ago, first_line, span};
use axis::{Axis, ZOOMS};
use block::Shape;
use rows::COLUMNS;

/// How much of each worker is shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Density {
    /// Its slots, where there is room.
    #[default]
    Slots,
    /// A line.
    Line,
}

/// The screen of workers.
#[derive(Clone, Debug)]
pub struct Lanes {
    list: List<WorkerId>,
    filter: Filter,
    density: Density,
    /// Which of the [`ZOOMS`].
    zoom: usize,
    /// How far the right edge lies before now, in nanoseconds; it follows where that is nothing.
    back: i64,
    /// The step that was clicked.
    chosen: Option<(BuildId, StepId)>,
    /// The most slots that a worker has.
    slots: usize,
    /// Columns of the time line, as it was drawn.
    columns: Cell<u16>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            list: List::new(&COLUMNS, 0, false),
            filter: Filter::default(),
            density: Density::default(),
            zoom: 2,
            back: 0,
            chosen: None,
            slots: 1,
            columns: Cell::new(1),
        }
    }
}

impl Lanes {
    fn worker<'a>(&self, context: &Context<'a>) -> Option<&'a Worker> {
        context.farm.workers().get(self.list.selected()?)
    }

    fn axis(&self, context: &Context<'_>, columns: u16) -> Axis {
        Axis::new(context.now, context.now.saturating_sub(self.back), ZOOMS[self.zoom], columns)
    }

    fn scroll(&mut self, parts: i64, context: &Context<'_>) {
        let window = ZOOMS[self.zoom] * 1_000_000_000;
        let oldest = context.now.max(0);
        self.back = (self.back - window / 4 * parts).clamp(0, oldest);
    }

    fn zoom(&mut self, to: usize) {
        self.zoom = to.min(ZOOMS.len() - 1);
    }

    fn status(&self, context: &Context<'_>) -> Line<'static> {
        let theme = context.theme;
        let step = self.chosen.and_then(|(id, step)| {
            let build = context.build(id)?;
            Some((build, build.step(step)?))
        });
        if let Some((build, step)) = step {
            let took = step.duration(build.clock(context.now)).map(span).unwrap_or_default();
            let name = first_line(&step.planned.name).into_owned();
            let place = first_line(&step.place()).into_owned();
            let (sign, title) = (context.glyphs.step(step), build.title());
            return Line::styled(format!("{sign} [{place}] {name}  {took}  {title}"), theme.accent);
        }
        let Some(worker) = self.worker(context) else { return Line::default() };
        let labels = worker.facts.labels.join(" ");
        let heard = worker.loads.back().map(|(time, _)| format!(", heard {} ago", ago(context.now, *time)));
        let text = format!(
            "{}: {} of {} slots, at most {}{} {labels}",
            worker.facts.worker,
            worker.running(),
            worker.facts.slots,
            worker.facts.most,
            heard.unwrap_or_default(),
        );
        Line::styled(first_line(&text).into_owned(), theme.dim)
    }

    fn body(&self, context: &Context<'_>, area: Rect, shape: Shape, buffer: &mut Buffer, hits: &mut Hits) {
        let rows = self.list.rows();
        let tall = u16::try_from(shape.height).unwrap_or(u16::MAX).max(1);
        let page = usize::from(area.height / tall).max(1);
        let offset = self.list.table.scroll(rows.len(), page);
        let bar = u16::from(rows.len() > page);
        let room = area.width.saturating_sub(bar);
        let time_line =
            Rect { x: area.x + shape.panel.min(room), width: room.saturating_sub(shape.panel), ..area };
        self.columns.set(time_line.width.max(1));
        let axis = self.axis(context, time_line.width);
        for (at, y) in (offset..rows.len()).zip((area.y..area.bottom()).step_by(tall.into())) {
            let Some(worker) = context.farm.workers().get(&rows[at]) else { continue };
            let place = Rect { y, width: room, height: tall, ..area }.intersection(area);
            hits.add(place, Target::Row(at));
            let drawn = block::Drawn { worker, context, axis: &axis, chosen: self.chosen, shape };
            drawn.draw(place, buffer, hits);
            if at == self.list.table.selected {
                let head = Rect { height: 1, width: shape.panel.min(room), ..place };
                buffer.set_style(head.intersection(buffer.area), context.theme.selected);
            }
        }
        scroll_bar(area, offset, page, rows.len(), (context.theme, context.glyphs), buffer);
    }
}

impl Screen for Lanes {
    fn view(&self) -> View {
        View::Workers
    }

    fn open(&mut self, place: &Place, context: &Context<'_>) {
        self.prepare(context);
        if let Place::Workers(Some(worker)) = place {
            self.list.select(worker);
        }
    }

    fn filter(&mut self, filter: &Filter, context: &Context<'_>) {
        self.filter = filter.clone();
        self.prepare(context);
    }

    fn prepare(&mut self, context: &Context<'_>) {
        let table = &self.list.table;
        let rows = rows::sorted(context, &self.filter, table.sort, table.reverse);
        self.list.set(rows);
        let workers = context.farm.workers().values();
        let slots = workers.map(|worker| usize::try_from(worker.facts.slots).unwrap_or(usize::MAX));
        self.slots = slots.max().unwrap_or(1);
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let area = area.intersection(buffer.area);
        if area.is_empty() {
            return;
        }
        if self.list.rows().is_empty() {
            let text = if self.filter.is_empty() { "no worker has come yet" } else { "no worker matches" };
            put(&Line::styled(text, context.theme.dim), area, Side::Left, context.glyphs, buffer);
            return;
        }
        let shape = Shape::of(self.density, area, self.slots);
        let head = u16::from(area.height > 1);
        let status = u16::from(area.height > 4);
        if head == 1 {
            let row = Rect { height: 1, ..area };
            rows::head(&self.list.table, row, shape, context, buffer, hits);
            let room = area.width.saturating_sub(shape.panel + 1);
            let right = Rect { x: area.right() - room, width: room, ..row };
            self.axis(context, room).draw(right, context, buffer);
        }
        let body = Rect { y: area.y + head, height: area.height - head - status, ..area };
        self.body(context, body, shape, buffer, hits);
        if status == 1 {
            let row = Rect { y: area.bottom() - 1, height: 1, ..area };
            put(&self.status(context), row, Side::Left, context.glyphs, buffer);
        }
    }

    fn title(&self, context: &Context<'_>) -> String {
        let (all, shown) = (context.farm.workers().len(), self.list.rows().len());
        let count = if all == shown { all.to_string() } else { format!("{shown} of {all}") };
        let window = span(ZOOMS[self.zoom].unsigned_abs() * 1_000_000);
        let until = if self.back == 0 {
            String::new()
        } else {
            format!(" until {} ago", span(self.back.unsigned_abs() / 1000))
        };
        format!("{count} workers, {window}{until}")
    }

    fn subject(&self, context: &Context<'_>) -> Subject {
        let worker = self.worker(context).map(|worker| worker.facts.worker.clone());
        let (build, step) = self.chosen.unzip();
        let text = worker.as_ref().map(ToString::to_string).unwrap_or_default();
        Subject { build, step, worker, text, ..Subject::default() }
    }

    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        match action {
            Action::Move(Move::Left) => self.scroll(-1, context),
            Action::Move(Move::Right) => self.scroll(1, context),
            Action::Move(Move::Enter) => {
                self.density = match self.density {
                    Density::Slots => Density::Line,
                    Density::Line => Density::Slots,
                }
            }
            Action::Move(step) => self.list.step(step),
            Action::Table(tabular) => self.list.tabulate(tabular),
            Action::Lanes(Laning::ZoomIn) => self.zoom(self.zoom.saturating_sub(1)),
            Action::Lanes(Laning::ZoomOut) => self.zoom(self.zoom + 1),
            Action::Lanes(Laning::Now) => self.back = 0,
            Action::App(_)
            | Action::Farm(_)
            | Action::Stages(_)
            | Action::Log(_)
            | Action::Images(_)
            | Action::Play(_) => {}
        }
        if matches!(action, Action::Table(_)) {
            self.prepare(context);
        }
        Vec::new()
    }

    fn click(&mut self, target: &Target, again: bool, _context: &Context<'_>) -> Vec<Wish> {
        match target {
            Target::Row(at) => {
                self.list.select_at(*at);
                self.chosen = None;
            }
            Target::Step(build, step) if again || self.chosen == Some((*build, *step)) => {
                return vec![Wish::Go(Place::Stages(*build, Some(*step)))];
            }
            Target::Step(build, step) => self.chosen = Some((*build, *step)),
            Target::Worker(_)
            | Target::Column(_)
            | Target::Build(_)
            | Target::Part(_)
            | Target::Act(_)
            | Target::Answer(_)
            | Target::Choice(_)
            | Target::Scrub(_) => {}
        }
        Vec::new()
    }

    fn columns(&self) -> Option<(&'static [Column], &TableState)> {
        Some((&COLUMNS, &self.list.table))
    }

    fn setting(&self) -> String {
        let lines = if self.density == Density::Line { " lines" } else { "" };
        format!("zoom={} {}{lines}", ZOOMS[self.zoom], self.list.setting())
    }

    fn restore(&mut self, setting: &str) {
        self.list.restore(setting);
        for word in setting.split_whitespace() {
            let seconds = word.strip_prefix("zoom=").and_then(|zoom| zoom.parse::<i64>().ok());
            if let Some(at) = seconds.and_then(|seconds| ZOOMS.iter().position(|zoom| *zoom == seconds)) {
                self.zoom = at;
            }
            if word == "lines" {
                self.density = Density::Line;
            }
        }
    }
}

#[cfg(test)]
mod tests;
