//! The list of images.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::sizes::{self, Sized, TREND};
use super::{Ask, Asked, Page, Turn, change, change_style};
use crate::app::action::Move;
use crate::app::effect::{Answer, Query};
use crate::app::filter::{Fields, Filter};
use crate::app::list::List;
use crate::app::screen::{Context, Hits, Subject};
use crate::state::images::ImageRow;
use crate::state::text::harmless;
use crate::view::files::Files;
use crate::view::layers::Layers;
use crate::view::table::{Column, Side, Table, TableState};
use crate::view::text::{ago, percent, size};

/// It is listed anew so long after something was made, in nanoseconds.
const STALE: i64 = 5_000_000_000;

const COLUMNS: [Column; 10] = [
    Column { name: "pin", width: 3, grows: 0, side: Side::Left, weight: 180 },
    Column { name: "name", width: 16, grows: 1, side: Side::Tail, weight: 255 },
    Column { name: "unpacked", width: 9, grows: 0, side: Side::Right, weight: 250 },
    Column { name: "packed", width: 7, grows: 0, side: Side::Right, weight: 200 },
    Column { name: "change", width: 8, grows: 0, side: Side::Right, weight: 240 },
    Column { name: "trend", width: 12, grows: 0, side: Side::Left, weight: 150 },
    Column { name: "saved", width: 12, grows: 0, side: Side::Right, weight: 140 },
    Column { name: "building", width: 9, grows: 0, side: Side::Right, weight: 160 },
    Column { name: "layers", width: 7, grows: 0, side: Side::Right, weight: 100 },
    Column { name: "made", width: 5, grows: 0, side: Side::Right, weight: 120 },
];

/// The list of images.
#[derive(Debug)]
pub(super) struct ImageList {
    list: List<String>,
    images: BTreeMap<String, Sized>,
    rows: Asked<Vec<ImageRow>>,
    /// The last list, also while a new one is asked for, and when it came.
    known: Vec<ImageRow>,
    listed: i64,
    asked: i64,
    mark: Option<String>,
    filter: Filter,
}

impl Default for ImageList {
    fn default() -> Self {
        Self {
            list: List::new(&COLUMNS, 2, true),
            images: BTreeMap::new(),
            rows: Asked::Not,
            known: Vec::new(),
            listed: i64::MIN,
            asked: i64::MIN,
            mark: None,
            filter: Filter::default(),
        }
    }
}

impl ImageList {
    /// Asks for the list, unless it is being asked for.
    pub(super) fn refresh(&mut self, context: &Context<'_>) {
        if !self.rows.is_open() {
            (self.rows, self.asked) = (Asked::of(Query::Images), context.now);
        }
    }

    pub(super) fn mark(&mut self, mark: Option<String>) {
        self.mark = mark;
    }

    pub(super) fn select(&mut self, image: &str) {
        self.list.select(&image.to_owned());
    }

    pub(super) fn setting(&self) -> String {
        self.list.setting()
    }

    pub(super) fn restore(&mut self, setting: &str) {
        self.list.restore(setting);
    }

    fn cell(&self, row: usize, column: usize, context: &Context<'_>) -> Line<'_> {
        let (theme, glyphs) = (context.theme, context.glyphs);
        let Some((name, image)) =
            self.list.rows().get(row).and_then(|name| Some((name, self.images.get(name)?)))
        else {
            return Line::default();
        };
        let bytes = |bytes: Option<u64>| bytes.map(size).unwrap_or_default();
        match column {
            0 => {
                let mark = if self.mark.as_ref() == Some(name) { glyphs.critical } else { " " };
                Line::styled(format!("{mark}{}", if image.pinned { "*" } else { "" }), theme.accent)
            }
            1 => Line::raw(harmless(name)),
            2 => Line::styled(bytes(image.bytes), theme.strong),
            3 => Line::raw(bytes(image.packed)),
            4 => image
                .change
                .map_or_else(Line::default, |bytes| Line::styled(change(bytes), change_style(bytes, theme))),
            5 => Line::styled(trend(&image.trend, glyphs.spark), theme.accent),
            6 => match (image.discarded, image.saved()) {
                (Some(bytes @ 1..), Some(part)) => Line::from(vec![
                    Span::styled(size(bytes), theme.good),
                    Span::styled(format!(" {:>3}", percent(part)), theme.dim),
                ]),
                _ => Line::default(),
            },
            7 => Line::styled(
                image.building.map(|bytes| format!("{} {}", glyphs.running, size(bytes))).unwrap_or_default(),
                theme.running,
            ),
            8 => Line::raw(image.layers.map(|layers| layers.to_string()).unwrap_or_default()),
            _ if image.made == 0 => Line::default(),
            _ => Line::styled(ago(context.now, image.made), theme.dim),
        }
    }
}

impl Page for ImageList {
    fn asks(&mut self) -> Vec<Query> {
        self.rows.take().into_iter().collect()
    }

    fn answer(&mut self, answer: &Answer, context: &Context<'_>) {
        if let Answer::Images(rows) = answer {
            (self.rows, self.listed) = (Asked::Known(Vec::new()), context.now);
            self.known.clone_from(rows);
        }
        self.rows.refuse(answer);
    }

    fn filter(&mut self, filter: &Filter) {
        if self.filter != *filter {
            self.filter = filter.clone();
        }
    }

    fn prepare(&mut self, context: &Context<'_>) {
        self.images = sizes::all(context, &self.known, self.listed);
        let newest = self.images.values().map(|image| image.made).max().unwrap_or(i64::MIN);
        if newest > self.listed
            && context.now.saturating_sub(self.asked) > STALE
            && self.rows.known().is_some()
        {
            self.refresh(context);
        }
        let shown = self.images.iter().filter(|(name, image)| self.filter.matches(&Fit { name, image }));
        let mut shown: Vec<(&String, &Sized)> = shown.collect();
        let (by, reverse) = (self.list.table.sort, self.list.table.reverse);
        shown.sort_by(|(first, a), (second, b)| {
            let order = order(by, (first, a), (second, b));
            if reverse { order.reverse() } else { order }.then_with(|| first.cmp(second))
        });
        let names = shown.into_iter().map(|(name, _)| name.clone()).collect();
        self.list.set(names);
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let said = self.rows.line("the list of images", context.theme);
        let said = said.filter(|_| self.list.rows().is_empty() || matches!(self.rows, Asked::Refused(_)));
        let status = u16::from(said.is_some() && area.height > 1);
        let empty = match (&said, self.images.is_empty()) {
            (Some(_), _) => "",
            (None, true) => "no image has a name yet",
            (None, false) => "no image matches",
        };
        let cell = |row: usize, column: usize| self.cell(row, column, context);
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: self.list.rows().len(),
            cell: &cell,
            empty,
            theme: context.theme,
            glyphs: context.glyphs,
        };
        table.draw(Rect { height: area.height - status, ..area }, buffer, hits);
        if let (Some(line), 1) = (said, status) {
            let row = Rect { y: area.bottom() - 1, height: 1, ..area };
            crate::view::table::put(&line, row, Side::Left, context.glyphs, buffer);
        }
    }

    fn title(&self, _context: &Context<'_>) -> String {
        let (all, shown) = (self.images.len(), self.list.rows().len());
        let count = if all == shown { all.to_string() } else { format!("{shown} of {all}") };
        let bytes = self.images.values().filter_map(|image| image.bytes).fold(0, u64::saturating_add);
        format!("{count} images, {} unpacked", size(bytes))
    }

    fn subject(&self, _context: &Context<'_>) -> Subject {
        let image = self.list.selected().cloned();
        Subject { text: image.clone().unwrap_or_default(), image, ..Subject::default() }
    }

    fn act(&mut self, ask: Ask, context: &Context<'_>) -> Vec<Turn> {
        let selected = self.list.selected().cloned();
        match (ask, selected) {
            (Ask::Move(Move::Enter | Move::Right) | Ask::Waste, Some(image)) => {
                return vec![Turn::Open(Box::new(Layers::new(image)))];
            }
            (Ask::Files, Some(image)) => {
                return vec![Turn::Open(Box::new(Files::new(image, None)))];
            }
            (Ask::Move(step), _) => self.list.step(step),
            (Ask::Table(tabular), _) => {
                self.list.tabulate(tabular);
                self.prepare(context);
            }
            (Ask::Files | Ask::Waste, None) => {}
        }
        Vec::new()
    }

    fn select_at(&mut self, row: usize) {
        self.list.select_at(row);
    }

    fn table(&self) -> (&'static [Column], &TableState) {
        (&COLUMNS, &self.list.table)
    }
}

fn order(by: usize, (first, a): (&str, &Sized), (second, b): (&str, &Sized)) -> Ordering {
    match by {
        0 => a.pinned.cmp(&b.pinned),
        2 => a.bytes.cmp(&b.bytes),
        3 => a.packed.cmp(&b.packed),
        4 | 5 => a.change.cmp(&b.change),
        6 => a.discarded.cmp(&b.discarded),
        7 => a.building.cmp(&b.building),
        8 => a.layers.cmp(&b.layers),
        9 => a.made.cmp(&b.made),
        _ => first.cmp(second),
    }
}

/// Sizes as heights: from the smallest, which is low, to the largest.
fn trend(sizes: &[u64], signs: &[&'static str]) -> String {
    let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) else { return String::new() };
    let top = signs.len().saturating_sub(2) as u64;
    let sign = |size: &u64| {
        let height = (size - least).saturating_mul(top).checked_div(most - least).unwrap_or(top / 2) + 1;
        signs.get(usize::try_from(height).unwrap_or(0)).copied().unwrap_or_default()
    };
    sizes.iter().skip(sizes.len().saturating_sub(TREND)).map(sign).collect()
}

/// An image as a filter sees it.
struct Fit<'a> {
    name: &'a str,
    image: &'a Sized,
}

impl Fields for Fit<'_> {
    fn field(&self, key: &str) -> Option<Cow<'_, str>> {
        match key {
            "name" | "image" => Some(Cow::Borrowed(self.name)),
            "platform" => Some(Cow::Borrowed(&self.image.platform)),
            "pinned" => Some(Cow::Borrowed(if self.image.pinned { "yes" } else { "no" })),
            "building" => Some(Cow::Borrowed(if self.image.building.is_some() { "yes" } else { "no" })),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.name)
    }
}
