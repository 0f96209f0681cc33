//! What people did to the farm: the trail that is kept of it.

use std::borrow::Cow;

use farm_model::event::{Action as Done, Deed};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::table::{Column, Side, Table, TableState};
use super::text::{ago, date, size, time_of_day};
use crate::app::action::{Action, Move};
use crate::app::filter::{Fields, Filter};
use crate::app::list::List;
use crate::app::place::{Place, View};
use crate::app::screen::{Context, Hits, Screen, Subject, Target, Wish};
use crate::state::text::harmless;

const fn column(name: &'static str, width: u16, grows: u16, side: Side, weight: u8) -> Column {
    Column { name, width, grows, side, weight }
}

const COLUMNS: [Column; 5] = [
    column("time", 20, 0, Side::Left, 255),
    column("ago", 5, 0, Side::Right, 2),
    column("who", 10, 1, Side::Left, 9),
    column("what", 20, 3, Side::Left, 255),
    column("result", 10, 3, Side::Left, 5),
];

/// The screen of what people did.
#[derive(Debug)]
pub struct ActionsScreen {
    list: List<Done>,
    filter: Filter,
}

impl Default for ActionsScreen {
    fn default() -> Self {
        Self { list: List::new(&COLUMNS, 0, false), filter: Filter::default() }
    }
}

struct Row<'a>(&'a Done);

impl Fields for Row<'_> {
    fn field(&self, key: &str) -> Option<Cow<'_, str>> {
        match key {
            "user" | "who" => Some(self.0.by.as_str().into()),
            "what" | "name" => Some(what(&self.0.deed).into()),
            "state" | "result" => Some(if self.0.refused.is_some() { "refused" } else { "done" }.into()),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        format!("{} {} {}", self.0.by, what(&self.0.deed), result(self.0)).into()
    }
}

fn what(deed: &Deed) -> String {
    match deed {
        Deed::Cancelled { build } => format!("cancelled build {build}"),
        Deed::Moved { build, step } => {
            format!("moved step {}.{} of build {build}", step.stage.0, step.index)
        }
        Deed::Drained { worker } => format!("drained worker {}", harmless(&worker.0)),
        Deed::Restored { worker } => format!("gave worker {} work again", harmless(&worker.0)),
        Deed::Pinned { image } => format!("pinned {}", harmless(image)),
        Deed::Unpinned { image } => format!("unpinned {}", harmless(image)),
        Deed::Pruned { bytes } => format!("pruned {}", size(*bytes)),
    }
}

fn result(done: &Done) -> String {
    done.refused.as_ref().map_or_else(|| "done".to_owned(), |why| format!("refused: {}", harmless(why)))
}

impl Screen for ActionsScreen {
    fn view(&self) -> View {
        View::Actions
    }

    fn filter(&mut self, filter: &Filter, context: &Context<'_>) {
        self.filter = filter.clone();
        self.prepare(context);
    }

    fn prepare(&mut self, context: &Context<'_>) {
        let all = context.farm.actions().iter();
        let mut rows: Vec<Done> = all.filter(|done| self.filter.matches(&Row(done))).cloned().collect();
        // The newest first wherever else they are equal.
        rows.sort_by_key(|done| std::cmp::Reverse(done.time));
        match self.list.table.sort {
            2 => rows.sort_by(|a, b| a.by.cmp(&b.by)),
            3 => rows.sort_by_cached_key(|done| what(&done.deed)),
            4 => rows.sort_by_cached_key(result),
            _ => {}
        }
        if self.list.table.reverse {
            rows.reverse();
        }
        self.list.set(rows);
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let (rows, theme) = (self.list.rows(), context.theme);
        let cell = |row: usize, column: usize| {
            let Some(done) = rows.get(row) else { return Line::default() };
            match column {
                0 => Line::styled(format!("{} {}Z", date(done.time), time_of_day(done.time)), theme.dim),
                1 => Line::styled(ago(context.now, done.time), theme.dim),
                2 => Line::styled(harmless(&done.by).into_owned(), theme.strong),
                3 => Line::styled(what(&done.deed), theme.text),
                _ => Line::styled(result(done), if done.refused.is_some() { theme.bad } else { theme.good }),
            }
        };
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: rows.len(),
            cell: &cell,
            empty: "nobody has done anything to the farm",
            theme,
            glyphs: context.glyphs,
        };
        table.draw(area, buffer, hits);
    }

    fn title(&self, context: &Context<'_>) -> String {
        let (shown, all) = (self.list.rows().len(), context.farm.actions().len());
        if shown == all { format!("{all} actions") } else { format!("{shown} of {all} actions") }
    }

    fn subject(&self, _context: &Context<'_>) -> Subject {
        let Some(done) = self.list.selected() else { return Subject::default() };
        let mut subject =
            Subject { text: format!("{} {}", harmless(&done.by), what(&done.deed)), ..Subject::default() };
        match &done.deed {
            Deed::Cancelled { build } => subject.build = Some(*build),
            Deed::Moved { build, step } => (subject.build, subject.step) = (Some(*build), Some(*step)),
            Deed::Drained { worker } | Deed::Restored { worker } => subject.worker = Some(worker.clone()),
            Deed::Pinned { image } | Deed::Unpinned { image } => subject.image = Some(image.clone()),
            Deed::Pruned { .. } => {}
        }
        subject
    }

    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        match action {
            Action::Move(Move::Enter | Move::Right) => {
                let Subject { build, step, worker, image, .. } = self.subject(context);
                let build = build.map(|build| Place::Stages(build, step));
                let worker = worker.map(|worker| Place::Workers(Some(worker)));
                let place = build.or(worker).or(image.map(|image| Place::Images(Some(image))));
                return place.map(Wish::Go).into_iter().collect();
            }
            Action::Move(step) => self.list.step(step),
            Action::Table(tabular) => {
                self.list.tabulate(tabular);
                self.prepare(context);
            }
            Action::App(_)
            | Action::Farm(_)
            | Action::Stages(_)
            | Action::Log(_)
            | Action::Lanes(_)
            | Action::Images(_)
            | Action::Play(_) => {}
        }
        Vec::new()
    }

    fn click(&mut self, target: &Target, again: bool, context: &Context<'_>) -> Vec<Wish> {
        let Target::Row(row) = target else { return Vec::new() };
        self.list.select_at(*row);
        if again { self.act(Action::Move(Move::Enter), context) } else { Vec::new() }
    }

    fn columns(&self) -> Option<(&'static [Column], &TableState)> {
        Some((self.list.columns(), &self.list.table))
    }

    fn setting(&self) -> String {
        self.list.setting()
    }

    fn restore(&mut self, setting: &str) {
        self.list.restore(setting);
    }
}
