//! The stages of a build with their steps, live: what ran, runs, waits, was cached or failed, what needs what, and the chain
//! that the build waits for.

mod cells;
mod detail;
mod gutter;
mod rows;

use std::collections::BTreeMap;

use farm_model::{BuildId, StageId, StepId};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::table::{Column, Side, Table, TableState};
use super::text::{clip, first_line, span};
use crate::app::action::{Action, Move, Stages as Own};
use crate::app::filter::Filter;
use crate::app::list::List;
use crate::app::place::{Place, View};
use crate::app::screen::{Context, Hits, Screen, Subject, Target, Wish};
use crate::state::{Build, Phase};
use gutter::Gutter;
use rows::{Key, Row};

const fn column(name: &'static str, width: u16, grows: u16, side: Side, weight: u8) -> Column {
    Column { name, width, grows, side, weight }
}

const COLUMNS: [Column; 7] = [
    column("step", 28, 5, Side::Left, 255),
    column("state", 9, 0, Side::Left, 8),
    column("took", 7, 0, Side::Right, 10),
    column("usual", 6, 0, Side::Right, 7),
    column("worker", 8, 1, Side::Left, 5),
    column("bytes", 6, 0, Side::Right, 4),
    column("says", 12, 4, Side::Left, 3),
];

/// From this height on there is room for more about the selected step.
const TALL: u16 = 14;

/// Whether stages that are finished are folded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Folding {
    /// While the build runs.
    #[default]
    Finished,
    /// No.
    Nothing,
    /// Also once it is over.
    Always,
}

/// The screen of a build's stages.
#[derive(Debug)]
pub struct StagesScreen {
    build: Option<BuildId>,
    list: List<Key>,
    gutter: Gutter,
    filter: Filter,
    folding: Folding,
    /// What the person folded or unfolded.
    folds: BTreeMap<StageId, bool>,
    /// A step to select as soon as it is known.
    wanted: Option<StepId>,
}

impl Default for StagesScreen {
    fn default() -> Self {
        Self {
            build: None,
            list: List::new(&COLUMNS, usize::MAX, false),
            gutter: Gutter::default(),
            filter: Filter::default(),
            folding: Folding::default(),
            folds: BTreeMap::new(),
            wanted: None,
        }
    }
}

impl StagesScreen {
    fn known<'a>(&self, context: &Context<'a>) -> Option<(BuildId, &'a Build)> {
        let id = self.build?;
        Some((id, context.build(id)?))
    }

    /// Whether a stage is folded.
    fn is_folded(&self, build: &Build, stage: StageId) -> bool {
        if !self.filter.is_empty() {
            return false;
        }
        if let Some(fold) = self.folds.get(&stage) {
            return *fold;
        }
        let may = match self.folding {
            Folding::Finished => !build.is_over(),
            Folding::Nothing => false,
            Folding::Always => true,
        };
        may && build.stages().get(&stage).is_some_and(|stage| {
            let mut phases = stage.steps.iter().filter_map(|id| build.step(*id)).map(|step| step.phase);
            phases.all(|phase| phase.is_over() && phase != Phase::Failed)
        })
    }

    fn fold(&mut self, stage: StageId, fold: Option<bool>, context: &Context<'_>) {
        let Some((_, build)) = self.known(context) else { return };
        let fold = fold.unwrap_or(!self.is_folded(build, stage));
        self.folds.insert(stage, fold);
        // What is folded away cannot stay selected.
        if fold && self.list.selected().is_some_and(|key| key.stage() == stage) {
            self.list.select(&Key::Stage(stage));
        }
        self.prepare(context);
    }

    fn critical(&mut self, context: &Context<'_>) {
        let Some((id, build)) = self.known(context) else { return };
        let path = context.estimates.path(id).map(|path| path.steps.as_slice()).unwrap_or_default();
        let open = |step: &&StepId| build.step(**step).is_some_and(|step| !step.phase.is_over());
        let step = path.iter().find(open).or(path.last()).copied();
        if let Some(step) = step {
            self.reveal(step, context);
        }
    }

    fn reveal(&mut self, step: StepId, context: &Context<'_>) {
        self.folds.insert(step.stage, false);
        self.wanted = Some(step);
        self.prepare(context);
    }

    fn enter(&mut self, context: &Context<'_>) -> Vec<Wish> {
        match (self.build, self.list.selected().copied()) {
            (Some(build), Some(Key::Step(step))) => vec![Wish::Go(Place::Log(build, Some(step)))],
            (_, Some(Key::Stage(stage))) => {
                self.fold(stage, None, context);
                Vec::new()
            }
            (None, Some(Key::Step(_))) | (_, None) => Vec::new(),
        }
    }

    fn step(&mut self, step: Move, context: &Context<'_>) -> Vec<Wish> {
        match (step, self.list.selected().copied()) {
            (Move::Enter, _) => return self.enter(context),
            (Move::Left, Some(key)) => self.fold(key.stage(), Some(true), context),
            (Move::Right, Some(key)) => self.fold(key.stage(), Some(false), context),
            (_, _) => self.list.step(step),
        }
        Vec::new()
    }

    fn own(&mut self, action: Own, context: &Context<'_>) {
        match action {
            Own::Fold => {
                if let Some(key) = self.list.selected().copied() {
                    self.fold(key.stage(), None, context);
                }
            }
            Own::FoldFinished => {
                let over = self.known(context).is_some_and(|(_, build)| build.is_over());
                self.folding = match (self.folding, over) {
                    (Folding::Nothing, _) | (Folding::Finished, true) => Folding::Always,
                    (Folding::Finished, false) | (Folding::Always, _) => Folding::Nothing,
                };
                self.folds.clear();
                self.prepare(context);
            }
            Own::Critical => self.critical(context),
        }
    }
}

impl Screen for StagesScreen {
    fn view(&self) -> View {
        View::Stages
    }

    fn open(&mut self, place: &Place, context: &Context<'_>) {
        let Place::Stages(build, step) = place else { return };
        if self.build != Some(*build) {
            let hidden = std::mem::take(&mut self.list.table.hidden);
            *self = Self {
                build: Some(*build),
                filter: self.filter.clone(),
                folding: self.folding,
                ..Self::default()
            };
            self.list.table.hidden = hidden;
        }
        if let Some(step) = step {
            self.reveal(*step, context);
        }
    }

    fn filter(&mut self, filter: &Filter, context: &Context<'_>) {
        self.filter = filter.clone();
        self.prepare(context);
    }

    fn prepare(&mut self, context: &Context<'_>) {
        let Some((_, build)) = self.known(context) else { return self.list.set(Vec::new()) };
        let keys = rows::keys(build, &self.filter, &|stage| self.is_folded(build, stage));
        self.gutter = Gutter::of(build, &keys);
        self.list.set(keys);
        if let Some(step) = self.wanted
            && self.list.select(&Key::Step(step))
        {
            self.wanted = None;
        }
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let Some((id, build)) = self.known(context) else {
            let text = clip("reading the log of the build", usize::from(area.width), context.glyphs.ellipsis);
            buffer.set_string(area.x, area.y, text, context.theme.dim);
            return;
        };
        let top = detail::word(build, context, area, buffer);
        let mut area = Rect { y: area.y + top, height: area.height - top, ..area };
        if area.height >= TALL {
            let below = detail::draw(id, build, self.list.selected().copied(), context, area, buffer);
            area.height -= below;
        }
        let path = context.estimates.path(id).map(|path| path.steps.as_slice()).unwrap_or_default();
        let now = build.clock(context.now);
        let keys = self.list.rows();
        let cell = |at: usize, column: usize| {
            let Some(key) = keys.get(at).copied() else { return ratatui::text::Line::default() };
            let folded = self.is_folded(build, key.stage());
            cells::cell(&Row { id, build, key, folded, now, path, at }, &self.gutter, context, column)
        };
        let empty = if self.filter.is_empty() {
            build.activity().unwrap_or(if build.requested().is_some() {
                "nothing is planned yet"
            } else {
                "reading the log of the build"
            })
        } else {
            "no step matches the filter"
        };
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: keys.len(),
            cell: &cell,
            empty,
            theme: context.theme,
            glyphs: context.glyphs,
        };
        table.draw(area, buffer, hits);
    }

    fn title(&self, context: &Context<'_>) -> String {
        let Some((id, build)) = self.known(context) else { return String::new() };
        let counts = build.counts();
        let left = context.estimates.remaining(id, context.now).filter(|_| !build.is_over());
        let left = left.map(|left| format!(", {} left", span(left))).unwrap_or_default();
        let time = span(build.clock(context.now));
        format!("{} {}/{} in {time}{left}", build.title(), counts.over(), counts.steps)
    }

    fn subject(&self, context: &Context<'_>) -> Subject {
        let build = self.known(context).map(|(_, build)| build);
        let key = self.list.selected().copied();
        let step = key.and_then(Key::step);
        let state = build.zip(step).and_then(|(build, step)| build.step(step));
        let name = state.map(|step| first_line(&step.planned.name).into_owned());
        let worker = state.and_then(|step| step.worker.clone());
        let image = build.and_then(|build| build.names().first().cloned());
        let text = name.or_else(|| self.build.map(|id| id.to_string())).unwrap_or_default();
        Subject { build: self.build, step, worker, image, text }
    }

    fn act(&mut self, action: Action, context: &Context<'_>) -> Vec<Wish> {
        match action {
            Action::Move(step) => return self.step(step, context),
            Action::Stages(own) => self.own(own, context),
            // Steps have one order; columns can be chosen.
            Action::Table(tabular @ crate::app::action::Tabular::Toggle(_)) => self.list.tabulate(tabular),
            Action::Table(_)
            | Action::App(_)
            | Action::Farm(_)
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

    fn follows(&self) -> Option<BuildId> {
        self.build
    }

    fn setting(&self) -> String {
        let setting = self.list.setting();
        setting.split_once(' ').map_or_else(String::new, |(_, hidden)| hidden.to_owned())
    }

    fn restore(&mut self, setting: &str) {
        self.list.restore(setting);
    }
}
