//! What the cache did: what the store holds and when it is full, then the look-ups of each image and its stages as heat.

mod cells;
mod forecast;
mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use farm_model::{BuildId, StepId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::table::{Column, Side, Table, TableState};
use super::text::percent;
use crate::app::action::{Action, Move};
use crate::app::filter::Filter;
use crate::app::list::List;
use crate::app::place::{Place, View};
use crate::app::screen::{Context, Hits, Screen, Subject, Target, Wish};
use crate::state::{CacheCell, Lookup};
use cells::{Key, Row};

const fn column(name: &'static str, width: u16, grows: u16, side: Side, weight: u8) -> Column {
    Column { name, width, grows, side, weight }
}

const COLUMNS: [Column; 10] = [
    column("image", 22, 4, Side::Left, 255),
    column("rate", 13, 0, Side::Left, 255),
    column("hits", 6, 0, Side::Right, 9),
    column("misses", 6, 0, Side::Right, 9),
    column("shared", 6, 0, Side::Right, 4),
    column("fetched", 7, 0, Side::Right, 3),
    column("saved", 6, 0, Side::Right, 8),
    column("bytes", 6, 0, Side::Right, 6),
    column("last", 5, 0, Side::Right, 5),
    column("stages", 16, 8, Side::Left, 2),
];

/// The screen of the cache.
#[derive(Debug)]
pub struct CacheScreen {
    list: List<Key>,
    filter: Filter,
    /// The images whose stages are shown.
    open: BTreeSet<String>,
    images: BTreeMap<String, CacheCell>,
}

impl Default for CacheScreen {
    fn default() -> Self {
        Self {
            // What was looked up last is what people ask about.
            list: List::new(&COLUMNS, 8, false),
            filter: Filter::default(),
            open: BTreeSet::new(),
            images: BTreeMap::new(),
        }
    }
}

/// Orders cells by a column; what is most comes first, apart from names.
fn order(column: usize, name: &str, cell: &CacheCell) -> (Reverse<u64>, String) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part in thousandths")]
    let thousandths = |rate: f64| (rate * 1000.0) as u64 + 1;
    let number = match column {
        1 => cell.hit_rate().map_or(0, thousandths),
        2 => cell.hits,
        3 => cell.misses,
        4 => cell.shared,
        5 => cell.fetched,
        6 => cell.saved_micros,
        7 => cell.saved_bytes,
        8 => cell.last.max(0).cast_unsigned(),
        9 => cell.lookups(),
        _ => 0,
    };
    (Reverse(number), name.to_owned())
}

impl CacheScreen {
    /// The image that a row belongs to, opened or closed.
    fn toggle(&mut self, open: Option<bool>, context: &Context<'_>) {
        let Some(image) = self.list.selected().map(|key| key.image.clone()) else { return };
        if open.unwrap_or(!self.open.contains(&image)) {
            self.open.insert(image);
        } else {
            self.open.remove(&image);
            self.list.select(&Key { image, stage: None });
        }
        self.prepare(context);
    }

    /// The newest step of the selected image and stage that was not in the cache; else the newest of any kind.
    fn newest(&self, context: &Context<'_>) -> Option<(BuildId, StepId)> {
        let key = self.list.selected()?;
        let of_image = context.farm.builds().iter().filter(|(_, build)| {
            build.names().first().map_or_else(|| build.title() == key.image, |name| *name == key.image)
        });
        let mut builds: Vec<_> = of_image.collect();
        builds.sort_by_key(|(_, build)| Reverse(build.started()));
        let steps = || {
            builds.iter().flat_map(|(id, build)| build.steps().map(move |step| (**id, step))).filter(
                |(_, step)| {
                    step.lookup != Lookup::Unknown
                        && key.stage.as_ref().is_none_or(|stage| *stage == step.planned.stage)
                },
            )
        };
        let missed = steps().find(|(_, step)| matches!(step.lookup, Lookup::Missed | Lookup::Shared { .. }));
        missed.or_else(|| steps().next()).map(|(id, step)| (id, step.planned.id))
    }

    fn enter(&mut self, context: &Context<'_>) -> Vec<Wish> {
        if self.list.selected().is_some_and(|key| key.stage.is_none()) {
            self.toggle(None, context);
            return Vec::new();
        }
        match self.newest(context) {
            Some((build, step)) => vec![Wish::Go(Place::Stages(build, Some(step)))],
            None => vec![Wish::Say("no build of this stage is known any more".to_owned())],
        }
    }
}

impl Screen for CacheScreen {
    fn view(&self) -> View {
        View::Cache
    }

    fn filter(&mut self, filter: &Filter, context: &Context<'_>) {
        self.filter = filter.clone();
        self.prepare(context);
    }

    fn prepare(&mut self, context: &Context<'_>) {
        self.images.clear();
        let mut stages: BTreeMap<&str, Vec<(&str, &CacheCell)>> = BTreeMap::new();
        for ((image, stage), cell) in context.farm.cache().cells() {
            if !self.filter.is_empty() && !self.filter.matches(&Row { image, stage: Some(stage), cell }) {
                continue;
            }
            if !self.images.contains_key(image) {
                self.images.insert(image.clone(), CacheCell::default());
            }
            if let Some(sum) = self.images.get_mut(image) {
                sum.hits += cell.hits;
                sum.misses += cell.misses;
                sum.shared += cell.shared;
                sum.fetched = sum.fetched.saturating_add(cell.fetched);
                sum.saved_micros = sum.saved_micros.saturating_add(cell.saved_micros);
                sum.saved_bytes = sum.saved_bytes.saturating_add(cell.saved_bytes);
                sum.last = sum.last.max(cell.last);
            }
            stages.entry(image).or_default().push((stage, cell));
        }
        let (column, reverse) = (self.list.table.sort, self.list.table.reverse);
        let mut images: Vec<(&String, &CacheCell)> = self.images.iter().collect();
        images.sort_by_cached_key(|(name, cell)| order(column, name, cell));
        if reverse {
            images.reverse();
        }
        let mut rows = Vec::with_capacity(images.len());
        for (image, _) in images {
            rows.push(Key { image: image.clone(), stage: None });
            if self.open.contains(image)
                && let Some(stages) = stages.get_mut(image.as_str())
            {
                stages.sort_by_cached_key(|(name, cell)| order(column, name, cell));
                if reverse {
                    stages.reverse();
                }
                rows.extend(
                    stages
                        .iter()
                        .map(|(stage, _)| Key { image: image.clone(), stage: Some((*stage).to_owned()) }),
                );
            }
        }
        self.list.set(rows);
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let taken = store::draw(context, area, buffer);
        let area = Rect { y: area.y + taken, height: area.height - taken, ..area };
        let rows = self.list.rows();
        let cell = |row: usize, column: usize| {
            let Some(key) = rows.get(row) else { return ratatui::text::Line::default() };
            match &key.stage {
                None => self.images.get(&key.image).map(|cell| {
                    cells::image(&key.image, cell, self.open.contains(&key.image), context, column)
                }),
                Some(stage) => {
                    let cells = context.farm.cache().cells();
                    let cell = cells.get(&(key.image.clone(), stage.clone()));
                    cell.map(|cell| cells::stage(stage, cell, context, column))
                }
            }
            .unwrap_or_default()
        };
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: rows.len(),
            cell: &cell,
            empty: "nothing was looked up yet",
            theme: context.theme,
            glyphs: context.glyphs,
        };
        table.draw(area, buffer, hits);
    }

    fn title(&self, context: &Context<'_>) -> String {
        let totals = context.farm.totals();
        let all = totals.hits + totals.misses;
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let rate = if all > 0 { percent(totals.hits as f64 / all as f64) } else { String::new() };
        format!("{} images, {all} look-ups {rate}", self.images.len())
    }

    fn subject(&self, context: &Context<'_>) -> Subject {
        let (build, step) = self.newest(context).unzip();
        let image = self.list.selected().map(|key| key.image.clone());
        let text = image.clone().unwrap_or_default();
        Subject { build, step, worker: None, image, text }
    }

    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        match action {
            Action::Move(Move::Enter) => return self.enter(context),
            Action::Move(Move::Left) => self.toggle(Some(false), context),
            Action::Move(Move::Right) => self.toggle(Some(true), context),
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
        if again { self.enter(context) } else { Vec::new() }
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
