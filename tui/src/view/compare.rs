//! How two images differ: the paths whose sizes do.

use std::cmp::Ordering;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::images::{Ask, Asked, Page, Turn, change, change_style};
use super::table::{Column, Side, Table, TableState, put};
use super::text::{size, width};
use crate::app::action::Move;
use crate::app::effect::{Answer, Query};
use crate::app::filter::Filter;
use crate::app::list::List;
use crate::app::screen::{Context, Hits, Subject};
use crate::state::images::Difference;
use crate::state::text::harmless;

const COLUMNS: [Column; 5] = [
    Column { name: "change", width: 8, grows: 0, side: Side::Right, weight: 255 },
    Column { name: "before", width: 7, grows: 0, side: Side::Right, weight: 100 },
    Column { name: "after", width: 7, grows: 0, side: Side::Right, weight: 110 },
    Column { name: "size", width: 12, grows: 0, side: Side::Left, weight: 90 },
    Column { name: "path", width: 16, grows: 1, side: Side::Tail, weight: 250 },
];
/// Cells of the bar that shows how much of all change a path is.
const BAR: u64 = 12;

/// Two images beside each other.
#[derive(Debug)]
pub(super) struct Compare {
    before: String,
    after: String,
    differences: Asked<(Vec<Difference>, u64)>,
    list: List<usize>,
    filter: Filter,
}

impl Compare {
    pub(super) fn new(before: String, after: String) -> Self {
        let query = Query::Compare { before: before.clone(), after: after.clone() };
        Self {
            before,
            after,
            differences: Asked::of(query),
            list: List::new(&COLUMNS, 0, true),
            filter: Filter::default(),
        }
    }

    fn known(&self) -> &[Difference] {
        self.differences.known().map_or(&[], |(differences, _)| differences)
    }

    fn cell(&self, row: usize, column: usize, most: u64, context: &Context<'_>) -> Line<'_> {
        let theme = context.theme;
        let Some(difference) = self.list.rows().get(row).and_then(|at| self.known().get(*at)) else {
            return Line::default();
        };
        let grown = growth(difference);
        let style = match (difference.before, difference.after) {
            (None, _) => theme.good,
            (_, None) => theme.bad,
            (Some(_), Some(_)) => theme.text,
        };
        match column {
            0 => Line::styled(change(grown), change_style(grown, theme)),
            1 => Line::styled(difference.before.map_or_else(|| "new".to_owned(), size), theme.dim),
            2 => Line::raw(difference.after.map_or_else(|| "gone".to_owned(), size)),
            3 => {
                let part = i128::from(BAR) * i128::try_from(grown.unsigned_abs()).unwrap_or(0);
                let cells = part.checked_div(i128::from(most)).unwrap_or(0).min(i128::from(BAR));
                let sign = context.glyphs.bar.last().copied().unwrap_or("#");
                Line::styled(
                    sign.repeat(usize::try_from(cells).unwrap_or(0).max(1)),
                    change_style(grown, theme),
                )
            }
            _ => Line::styled(harmless(&difference.path), style),
        }
    }

    fn head(&self, room: usize, context: &Context<'_>) -> Line<'static> {
        let theme = context.theme;
        if let Some(line) = self.differences.line("how they differ", theme) {
            return line;
        }
        let (differences, more) = (self.known(), self.differences.known().map_or(0, |(_, more)| *more));
        let sum = |pick: fn(&Difference) -> bool| {
            let picked = differences.iter().filter(|difference| pick(difference));
            let (count, bytes) =
                picked.fold((0, 0), |(count, bytes), it| (count + 1_u64, bytes + growth(it)));
            format!("{count} ({})", change(bytes))
        };
        let all: i128 = differences.iter().map(growth).sum();
        let text = format!(
            "  {} added, {} removed, {} changed",
            sum(|it| it.before.is_none()),
            sum(|it| it.after.is_none()),
            sum(|it| it.before.is_some() && it.after.is_some()),
        );
        let mut spans = vec![Span::styled(change(all), change_style(all, theme))];
        if width(&text) + 20 < room {
            spans.push(Span::styled(text, theme.text));
        }
        if more > 0 {
            spans.push(Span::styled(format!("  and {more} smaller ones"), theme.dim));
        }
        Line::from(spans)
    }
}

impl Page for Compare {
    fn asks(&mut self) -> Vec<Query> {
        self.differences.take().into_iter().collect()
    }

    fn answer(&mut self, answer: &Answer, _context: &Context<'_>) {
        if let Answer::Compare { query: Query::Compare { before, after }, differences, more } = answer
            && (before, after) == (&self.before, &self.after)
        {
            self.differences = Asked::Known((differences.clone(), *more));
        }
        self.differences.refuse(answer);
    }

    fn filter(&mut self, filter: &Filter) {
        if self.filter != *filter {
            self.filter = filter.clone();
        }
    }

    fn prepare(&mut self, _context: &Context<'_>) {
        let known = self.known();
        let fits = |at: &usize| self.filter.matches(known[*at].path.as_str());
        let mut shown: Vec<usize> = (0..known.len()).filter(fits).collect();
        let TableState { sort, reverse, .. } = self.list.table;
        shown.sort_by(|a, b| {
            let order = order(sort, &known[*a], &known[*b]);
            if reverse { order.reverse() } else { order }.then_with(|| known[*a].path.cmp(&known[*b].path))
        });
        self.list.set(shown);
    }

    fn draw(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let room = usize::from(area.width);
        let head = Rect { height: 1, ..area };
        put(&self.head(room, context), head, Side::Left, context.glyphs, buffer);
        let most = self.known().iter().map(|it| growth(it).unsigned_abs()).max().unwrap_or(0);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let cell = |row: usize, column: usize| self.cell(row, column, most, context);
        let empty = match (self.differences.known(), self.filter.is_empty()) {
            (None, _) => "",
            (Some(_), true) => "no file differs in size",
            (Some(_), false) => "nothing matches",
        };
        let table = Table {
            columns: &COLUMNS,
            state: &self.list.table,
            rows: self.list.rows().len(),
            cell: &cell,
            empty,
            theme: context.theme,
            glyphs: context.glyphs,
        };
        table.draw(Rect { y: area.y + 1, height: area.height - 1, ..area }, buffer, hits);
    }

    fn title(&self, context: &Context<'_>) -> String {
        format!("{} {} {}", harmless(&self.before), context.glyphs.arrow, harmless(&self.after))
    }

    fn subject(&self, _context: &Context<'_>) -> Subject {
        let selected = self.list.selected().and_then(|at| self.known().get(*at));
        let text = selected.map(|difference| format!("/{}", harmless(&difference.path))).unwrap_or_default();
        Subject { image: Some(self.after.clone()), text, ..Subject::default() }
    }

    fn act(&mut self, ask: Ask, context: &Context<'_>) -> Vec<Turn> {
        match ask {
            Ask::Move(Move::Left) => return vec![Turn::Close],
            Ask::Move(step) => self.list.step(step),
            Ask::Table(tabular) => {
                self.list.tabulate(tabular);
                self.prepare(context);
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

/// How many bytes a path has more than before.
fn growth(difference: &Difference) -> i128 {
    i128::from(difference.after.unwrap_or(0)) - i128::from(difference.before.unwrap_or(0))
}

fn order(by: usize, a: &Difference, b: &Difference) -> Ordering {
    match by {
        0 => growth(a).cmp(&growth(b)),
        1 => a.before.cmp(&b.before),
        2 => a.after.cmp(&b.after),
        3 => growth(a).unsigned_abs().cmp(&growth(b).unsigned_abs()),
        _ => a.path.cmp(&b.path),
    }
}
