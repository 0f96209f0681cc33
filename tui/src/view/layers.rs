//! The layers of an image and what they waste.

mod summary;

use std::cmp::Ordering;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::files::Files;
use super::images::{Ask, Asked, Page, Turn};
use super::table::{Column, Side, Table, TableState, put};
use super::text::{first_line, size};
use crate::app::action::Move;
use crate::app::effect::{Answer, Query};
use crate::app::filter::Filter;
use crate::app::list::List;
use crate::app::screen::{Context, Hits, Subject};
use crate::state::images::{ImageDetail, Layer, LayerWaste};
use crate::state::text::harmless;

const COLUMNS: [Column; 8] = [
    Column { name: "layer", width: 6, grows: 0, side: Side::Right, weight: 255 },
    Column { name: "unpacked", width: 9, grows: 0, side: Side::Right, weight: 250 },
    Column { name: "packed", width: 8, grows: 0, side: Side::Right, weight: 150 },
    Column { name: "entries", width: 8, grows: 0, side: Side::Right, weight: 100 },
    Column { name: "hidden", width: 7, grows: 0, side: Side::Right, weight: 240 },
    Column { name: "touched", width: 8, grows: 0, side: Side::Right, weight: 200 },
    Column { name: "twice", width: 7, grows: 0, side: Side::Right, weight: 190 },
    Column { name: "made by", width: 12, grows: 1, side: Side::Left, weight: 230 },
];

/// One image: its layers.
#[derive(Debug)]
pub(super) struct Layers {
    image: String,
    detail: Asked<Box<ImageDetail>>,
    waste: Asked<Vec<LayerWaste>>,
    list: List<usize>,
    filter: Filter,
}

impl Layers {
    pub(super) fn new(image: String) -> Self {
        Self {
            detail: Asked::of(Query::Image { image: image.clone() }),
            waste: Asked::of(Query::Waste { image: image.clone() }),
            image,
            list: List::new(&COLUMNS, 0, false),
            filter: Filter::default(),
        }
    }

    fn layer(&self, at: usize) -> Option<&Layer> {
        self.detail.known()?.layers.get(at)
    }

    fn wasted(&self, at: usize) -> Option<&LayerWaste> {
        self.waste.known()?.get(at)
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        let of = |at: usize| (self.layer(at), self.wasted(at));
        let ((Some(first), waste), (Some(second), other)) = (of(a), of(b)) else { return Ordering::Equal };
        let wasted = |bytes: fn(&LayerWaste) -> u64| waste.map(bytes).cmp(&other.map(bytes));
        match self.list.table.sort {
            1 => first.bytes.cmp(&second.bytes),
            2 => first.packed.cmp(&second.packed),
            3 => first.entries.cmp(&second.entries),
            4 => wasted(|waste| waste.hidden_bytes),
            5 => wasted(|waste| waste.touched_bytes),
            6 => wasted(|waste| waste.duplicate_bytes),
            7 => first.created_by.cmp(&second.created_by),
            _ => a.cmp(&b),
        }
    }

    fn cell(&self, row: usize, column: usize, context: &Context<'_>) -> Line<'_> {
        let theme = context.theme;
        let Some((at, layer)) = self.list.rows().get(row).and_then(|at| Some((*at, self.layer(*at)?))) else {
            return Line::default();
        };
        let plain = if layer.base { theme.dim } else { theme.text };
        let wasted = |bytes: fn(&LayerWaste) -> u64| match self.wasted(at).map(bytes) {
            None => Line::styled(if self.waste.is_open() { "?" } else { "" }, theme.dim),
            Some(0) => Line::styled("0", theme.dim),
            Some(bytes) => Line::styled(size(bytes), theme.warn),
        };
        match column {
            0 => Line::styled((at + 1).to_string(), theme.accent),
            1 => Line::styled(size(layer.bytes), theme.strong),
            2 => Line::styled(layer.packed.map(size).unwrap_or_default(), plain),
            3 => Line::styled(layer.entries.to_string(), plain),
            4 => wasted(|waste| waste.hidden_bytes),
            5 => wasted(|waste| waste.touched_bytes),
            6 => wasted(|waste| waste.duplicate_bytes),
            _ => {
                let base = if layer.base { "base: " } else { "" };
                Line::styled(format!("{base}{}", first_line(&layer.created_by)), plain)
            }
        }
    }
}

impl Page for Layers {
    fn asks(&mut self) -> Vec<Query> {
        self.detail.take().into_iter().chain(self.waste.take()).collect()
    }

    fn answer(&mut self, answer: &Answer, _context: &Context<'_>) {
        match answer {
            Answer::Image(detail) if detail.row.name == self.image => {
                self.detail = Asked::Known(detail.clone());
            }
            Answer::Waste { image, layers } if *image == self.image => {
                self.waste = Asked::Known(layers.clone());
            }
            Answer::Log { .. }
            | Answer::Images(_)
            | Answer::Image(_)
            | Answer::Waste { .. }
            | Answer::Entries { .. }
            | Answer::Compare { .. }
            | Answer::Done(_) => {}
            // Answers come in the order of the questions.
            Answer::Refused { .. } => {
                let _refused = self.detail.refuse(answer) || self.waste.refuse(answer);
            }
        }
    }

    fn filter(&mut self, filter: &Filter) {
        if self.filter != *filter {
            self.filter = filter.clone();
        }
    }

    fn prepare(&mut self, _context: &Context<'_>) {
        let layers = self.detail.known().map_or(&[][..], |detail| &detail.layers);
        let fits = |at: &usize| self.filter.matches(layers[*at].created_by.as_str());
        let mut shown: Vec<usize> = (0..layers.len()).filter(fits).collect();
        shown.sort_by(|a, b| {
            let order = self.order(*a, *b);
            if self.list.table.reverse { order.reverse() } else { order }.then_with(|| a.cmp(b))
        });
        self.list.set(shown);
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let head =
            summary::head(&self.image, self.detail.known().map(Box::as_ref), self.waste.known(), context);
        let head_rows = u16::try_from(head.len()).unwrap_or(0).min(area.height / 3);
        for (line, row) in head.iter().zip(area.rows().take(head_rows.into())) {
            put(line, row, Side::Left, context.glyphs, buffer);
        }
        let foot_rows = if area.height >= 16 { (area.height / 4).min(8) } else { 0 };
        let body = Rect { y: area.y + head_rows, height: area.height - head_rows - foot_rows, ..area };
        let said = [
            self.detail.line("the image", context.theme),
            self.waste.line("what its layers waste", context.theme),
        ];
        let said: Vec<Line<'_>> = said.into_iter().flatten().collect();
        let said_rows = u16::try_from(said.len()).unwrap_or(0).min(body.height);
        for (line, row) in said.iter().zip(body.rows()) {
            put(line, row, Side::Left, context.glyphs, buffer);
        }
        let cell = |row: usize, column: usize| self.cell(row, column, context);
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: self.list.rows().len(),
            cell: &cell,
            empty: if self.detail.known().is_some() { "no layer matches" } else { "" },
            theme: context.theme,
            glyphs: context.glyphs,
        };
        table.draw(Rect { y: body.y + said_rows, height: body.height - said_rows, ..body }, buffer, hits);
        let foot = Rect { y: body.bottom(), height: foot_rows, ..area };
        let selected = self.list.selected().and_then(|at| Some((self.layer(*at)?, self.wasted(*at))));
        if let Some((layer, waste)) = selected {
            for (line, row) in summary::foot(layer, waste, context).iter().zip(foot.rows()) {
                put(line, row, Side::Left, context.glyphs, buffer);
            }
        }
    }

    fn title(&self, _context: &Context<'_>) -> String {
        format!("layers of {}", harmless(&self.image))
    }

    fn subject(&self, _context: &Context<'_>) -> Subject {
        let digest = self.list.selected().and_then(|at| self.layer(*at)).map(|layer| layer.digest.clone());
        let text = harmless(&digest.unwrap_or_default()).into_owned();
        Subject { image: Some(self.image.clone()), text, ..Subject::default() }
    }

    fn act(&mut self, ask: Ask, context: &Context<'_>) -> Vec<Turn> {
        let selected = self.list.selected().and_then(|at| u32::try_from(*at).ok());
        match ask {
            Ask::Move(Move::Enter | Move::Right) if selected.is_some() => {
                return vec![Turn::Open(Box::new(Files::new(self.image.clone(), selected)))];
            }
            Ask::Files => {
                return vec![Turn::Open(Box::new(Files::new(self.image.clone(), None)))];
            }
            Ask::Move(Move::Left) => return vec![Turn::Close],
            Ask::Move(step) => self.list.step(step),
            Ask::Table(tabular) => {
                self.list.tabulate(tabular);
                self.prepare(context);
            }
            Ask::Waste => {}
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
