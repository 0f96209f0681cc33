//! The files of an image or of one of its layers, as a tree whose directories are asked for when they are unfolded.

mod tree;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::images::{Ask, Page, Turn};
use super::table::{Column, Side, Table, TableState};
use super::text::size;
use crate::app::action::Move;
use crate::app::effect::{Answer, Query};
use crate::app::filter::Filter;
use crate::app::list::List;
use crate::app::screen::{Context, Hits, Subject};
use crate::state::images::{Against, Entry};
use crate::state::text::harmless;
use tree::{Item, Tree};

const COLUMNS: [Column; 4] = [
    Column { name: "size", width: 7, grows: 0, side: Side::Right, weight: 250 },
    Column { name: "mode", width: 10, grows: 0, side: Side::Left, weight: 100 },
    Column { name: "owner", width: 9, grows: 0, side: Side::Right, weight: 90 },
    Column { name: "name", width: 16, grows: 1, side: Side::Left, weight: 255 },
];
/// The column by which directories are sorted by size.
const BY_SIZE: usize = 0;

/// The files of an image.
#[derive(Debug)]
pub(super) struct Files {
    image: String,
    layer: Option<u32>,
    tree: Tree,
    list: List<Item>,
    filter: Filter,
}

impl Files {
    pub(super) fn new(image: String, layer: Option<u32>) -> Self {
        let tree = Tree::new(image.clone(), layer);
        Self { image, layer, tree, list: List::new(&COLUMNS, BY_SIZE, true), filter: Filter::default() }
    }

    fn cell(&self, row: usize, column: usize, context: &Context<'_>) -> Line<'_> {
        let Some(item) = self.list.rows().get(row) else { return Line::default() };
        let Some(entry) = self.tree.entry(item) else {
            let text = if column == 3 { self.tree.note(item) } else { String::new() };
            return Line::styled(format!("{}{text}", "  ".repeat(item.depth)), context.theme.dim);
        };
        let (sign, style) = against(entry.against, context);
        match column {
            0 => Line::styled(size(entry.bytes), style),
            1 => Line::styled(mode(entry), context.theme.dim),
            2 => Line::styled(format!("{}:{}", entry.owner.0, entry.owner.1), context.theme.dim),
            _ => self.name(item, entry, (sign, style), context),
        }
    }

    fn name(
        &self,
        item: &Item,
        entry: &Entry,
        (sign, style): (&'static str, Style),
        context: &Context<'_>,
    ) -> Line<'static> {
        let fold = match (entry.kind, self.tree.is_open(&item.path)) {
            ('d', true) => context.glyphs.unfolded,
            ('d', false) => context.glyphs.folded,
            _ => " ",
        };
        let slash = if entry.kind == 'd' { "/" } else { "" };
        let mut spans = vec![
            Span::styled(format!("{}{fold} {sign} ", "  ".repeat(item.depth)), style),
            Span::styled(format!("{}{slash}", harmless(&entry.name)), style),
        ];
        if let Some(link) = &entry.link {
            let text = format!(" {} {}", context.glyphs.arrow, harmless(link));
            spans.push(Span::styled(text, context.theme.dim));
        }
        Line::from(spans)
    }

    fn enter(&mut self, context: &Context<'_>) {
        let Some(item) = self.list.selected().cloned() else { return };
        if self.tree.entry(&item).is_some_and(|entry| entry.kind == 'd') {
            // What is unfolded stays selected whatever comes between.
            self.list.select(&item);
            self.tree.toggle(&item.path);
            self.prepare(context);
        }
    }

    /// Folds the directory, or goes to the one that it lies in.
    fn leave(&mut self, context: &Context<'_>) -> Vec<Turn> {
        let Some(item) = self.list.selected().cloned() else { return vec![Turn::Close] };
        if self.tree.is_open(&item.path) {
            self.tree.toggle(&item.path);
            self.prepare(context);
            return Vec::new();
        }
        let Some((parent, _)) = item.path.rsplit_once('/') else { return vec![Turn::Close] };
        let above = self.list.rows().iter().find(|item| item.is(parent)).cloned();
        if let Some(above) = above {
            self.list.select(&above);
        }
        Vec::new()
    }
}

impl Page for Files {
    fn asks(&mut self) -> Vec<Query> {
        self.tree.asks()
    }

    fn answer(&mut self, answer: &Answer, _context: &Context<'_>) {
        self.tree.answer(answer);
    }

    fn filter(&mut self, filter: &Filter) {
        if self.filter != *filter {
            self.filter = filter.clone();
        }
    }

    fn prepare(&mut self, _context: &Context<'_>) {
        let TableState { sort, reverse, .. } = self.list.table;
        let order = |a: &Entry, b: &Entry| {
            let order = match sort {
                BY_SIZE => a.bytes.cmp(&b.bytes),
                1 => a.mode.cmp(&b.mode),
                2 => a.owner.cmp(&b.owner),
                _ => a.name.cmp(&b.name),
            };
            if reverse { order.reverse() } else { order }.then_with(|| a.name.cmp(&b.name))
        };
        self.list.set(self.tree.rows(&self.filter, order));
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let cell = |row: usize, column: usize| self.cell(row, column, context);
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: self.list.rows().len(),
            cell: &cell,
            empty: if self.filter.is_empty() { "there is nothing in it" } else { "nothing matches" },
            theme: context.theme,
            glyphs: context.glyphs,
        };
        table.draw(area, buffer, hits);
    }

    fn title(&self, _context: &Context<'_>) -> String {
        let image = harmless(&self.image);
        match self.layer {
            Some(layer) => format!("files of layer {} of {image}", layer.saturating_add(1)),
            None => format!("files of {image}"),
        }
    }

    fn subject(&self, _context: &Context<'_>) -> Subject {
        let text = self.list.selected().map(|item| format!("/{}", harmless(&item.path))).unwrap_or_default();
        Subject { image: Some(self.image.clone()), text, ..Subject::default() }
    }

    fn act(&mut self, ask: Ask, context: &Context<'_>) -> Vec<Turn> {
        match ask {
            Ask::Move(Move::Enter) => self.enter(context),
            Ask::Move(Move::Right) => {
                if self.list.selected().is_some_and(|item| !self.tree.is_open(&item.path)) {
                    self.enter(context);
                } else {
                    self.list.step(Move::Down);
                }
            }
            Ask::Move(Move::Left) => return self.leave(context),
            Ask::Move(step) => self.list.step(step),
            Ask::Table(tabular) => {
                self.list.tabulate(tabular);
                self.prepare(context);
            }
            // From a layer to the whole image.
            Ask::Files if self.layer.is_some() => {
                return vec![Turn::Open(Box::new(Self::new(self.image.clone(), None)))];
            }
            Ask::Files | Ask::Waste => {}
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

fn against(against: Against, context: &Context<'_>) -> (&'static str, Style) {
    match against {
        Against::Same => (" ", context.theme.text),
        Against::Added => ("+", context.theme.good),
        Against::Changed => ("~", context.theme.warn),
        Against::Removed => ("-", context.theme.bad),
    }
}

/// Kind and permissions as `ls` has them.
fn mode(entry: &Entry) -> String {
    let bit = |bit: u32, sign: char| if entry.mode & bit == bit { sign } else { '-' };
    let mut text = String::from(if entry.kind.is_control() { '?' } else { entry.kind });
    for shift in [6, 3, 0] {
        text.extend([bit(4 << shift, 'r'), bit(2 << shift, 'w'), bit(1 << shift, 'x')]);
    }
    text
}
