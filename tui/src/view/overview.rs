//! All builds: those that failed on top with their last lines, then a table with those that run first.

mod cells;
mod pinned;
mod preview;

use std::cmp::Reverse;

use farm_model::BuildId;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::table::{Column, Side, Table, TableState};
use crate::app::action::{Action, Global, Move};
use crate::app::filter::Filter;
use crate::app::list::List;
use crate::app::place::{Place, View};
use crate::app::screen::{Context, Hits, Screen, Subject, Target, Wish};
use crate::app::world::failures;
use crate::state::Build;
use cells::Row;

const fn column(name: &'static str, width: u16, grows: u16, side: Side, weight: u8) -> Column {
    Column { name, width, grows, side, weight }
}

const COLUMNS: [Column; 11] = [
    column("state", 6, 0, Side::Left, 255),
    column("name", 16, 6, Side::Tail, 255),
    column("id", 8, 0, Side::Left, 3),
    column("who", 8, 1, Side::Left, 4),
    column("progress", 14, 3, Side::Left, 9),
    column("cached", 6, 0, Side::Right, 5),
    column("active", 6, 0, Side::Right, 6),
    column("time", 6, 0, Side::Right, 8),
    column("left", 6, 0, Side::Right, 7),
    column("size", 6, 0, Side::Right, 2),
    column("where", 12, 2, Side::Left, 1),
];

/// Of the body, the part that failures take at most.
const PINNED_PART: u16 = 3;

/// The screen of all builds.
#[derive(Debug)]
pub struct Overview {
    list: List<BuildId>,
    filter: Filter,
    failures: Vec<BuildId>,
    /// The newest failure that the person does not want to see pinned any more, and all before it.
    dismissed: Vec<BuildId>,
}

impl Default for Overview {
    fn default() -> Self {
        Self {
            list: List::new(&COLUMNS, 0, false),
            filter: Filter::default(),
            failures: Vec::new(),
            dismissed: Vec::new(),
        }
    }
}

impl Overview {
    fn rows(&self, context: &Context<'_>) -> Vec<BuildId> {
        let all = context.farm.builds().iter();
        let row = |build: &'_ Build, id: BuildId| self.filter.matches(&Row { id, build, context: *context });
        let mut rows: Vec<(BuildId, &Build)> = all
            .filter(|(id, build)| self.filter.is_empty() || row(build, **id))
            .map(|(id, build)| (*id, build))
            .collect();
        let started = |build: &Build| Reverse(build.started());
        // Those that began last come first wherever else they are equal.
        rows.sort_by_cached_key(|(id, build)| (started(build), *id));
        let now = context.now;
        match self.list.table.sort {
            0 => rows.sort_by_key(|(_, build)| cells::rank(build)),
            1 => rows.sort_by_cached_key(|(_, build)| build.title()),
            2 => rows.sort_by_key(|(id, _)| *id),
            3 => rows.sort_by_cached_key(|(_, build)| cells::client(build).to_owned()),
            4 => rows.sort_by_key(|(_, build)| Reverse(cells::progress(build))),
            5 => rows.sort_by_key(|(_, build)| Reverse(build.counts().cached)),
            6 => rows.sort_by_key(|(_, build)| Reverse(build.counts().running + build.counts().queued)),
            7 => rows.sort_by_key(|(_, build)| Reverse(build.clock(now))),
            8 => rows.sort_by_key(|(id, _)| Reverse(context.estimates.remaining(*id, now))),
            9 => rows.sort_by_key(|(_, build)| Reverse(build.image_bytes())),
            _ => rows.sort_by_cached_key(|(_, build)| cells::place(build)),
        }
        if self.list.table.reverse {
            rows.reverse();
        }
        rows.into_iter().map(|(id, _)| id).collect()
    }

    fn pinned(&self) -> impl Iterator<Item = BuildId> {
        self.failures.iter().copied().filter(|id| !self.dismissed.contains(id))
    }
}

impl Screen for Overview {
    fn view(&self) -> View {
        View::Overview
    }

    fn filter(&mut self, filter: &Filter, context: &Context<'_>) {
        self.filter = filter.clone();
        self.prepare(context);
    }

    fn prepare(&mut self, context: &Context<'_>) {
        self.failures = failures(context.farm);
        self.dismissed.retain(|id| self.failures.contains(id));
        self.list.set(self.rows(context));
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let pinned: Vec<BuildId> = self.pinned().collect();
        let taken =
            pinned::draw(&pinned, context, Rect { height: area.height / PINNED_PART, ..area }, buffer, hits);
        let mut area = Rect { y: area.y + taken, height: area.height - taken, ..area };
        if let Some(id) = self.list.selected() {
            area.height -= preview::draw(*id, context, area, buffer, hits);
        }
        let rows = self.list.rows();
        let cell = |row: usize, column: usize| {
            let id = rows.get(row).copied();
            let build = id.and_then(|id| Some((id, context.farm.builds().get(&id)?)));
            build.map_or_else(Default::default, |(id, build)| {
                cells::cell(&Row { id, build, context: *context }, column)
            })
        };
        let empty = if self.filter.is_empty() {
            "no build yet: `farm build .` begins one"
        } else {
            "no build matches the filter"
        };
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: rows.len(),
            cell: &cell,
            empty,
            theme: context.theme,
            glyphs: context.glyphs,
        };
        table.draw(area, buffer, hits);
    }

    fn title(&self, context: &Context<'_>) -> String {
        let (shown, all) = (self.list.rows().len(), context.farm.builds().len());
        if shown == all { format!("{all} builds") } else { format!("{shown} of {all} builds") }
    }

    fn subject(&self, context: &Context<'_>) -> Subject {
        let build = self.list.selected().copied();
        let known = build.and_then(|id| context.farm.builds().get(&id));
        let step = known.and_then(crate::app::world::failed_step).map(|step| step.planned.id);
        let image = known.and_then(|build| build.names().first().cloned());
        Subject {
            build,
            step,
            worker: None,
            image,
            text: build.map_or_else(String::new, |id| id.to_string()),
        }
    }

    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        match action {
            Action::Move(Move::Enter | Move::Right) => {
                let selected = self.list.selected().copied();
                return selected.map(|id| Wish::Go(Place::Stages(id, None))).into_iter().collect();
            }
            Action::Move(step) => self.list.step(step),
            Action::Table(tabular) => {
                self.list.tabulate(tabular);
                self.prepare(context);
            }
            Action::App(Global::Dismiss) => self.dismissed.clone_from(&self.failures),
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
        match target {
            Target::Row(row) => {
                let known = self.list.table.selected == *row;
                self.list.select_at(*row);
                if again && known { self.act(Action::Move(Move::Enter), context) } else { Vec::new() }
            }
            Target::Build(id) => vec![Wish::Go(Place::Stages(*id, None))],
            Target::Step(id, step) => vec![Wish::Go(Place::Stages(*id, Some(*step)))],
            Target::Column(_)
            | Target::Worker(_)
            | Target::Part(_)
            | Target::Act(_)
            | Target::Answer(_)
            | Target::Choice(_)
            | Target::Scrub(_) => Vec::new(),
        }
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
