//! Which workers are shown, in which order, and the head by which they are sorted.

use std::borrow::Cow;
use std::cmp::Ordering;

use farm_model::WorkerId;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::block::Shape;
use super::load::Meter;
use crate::app::filter::{Fields, Filter};
use crate::app::screen::{Context, Hits, Target};
use crate::state::{Standing, Worker};
use crate::view::table::{Column, Side, TableState, put};

/// What workers are sorted by.
pub(super) const COLUMNS: [Column; 7] = [
    column("name", 8),
    column("state", 6),
    column("running", 8),
    column("cpu", 4),
    column("memory", 7),
    column("network", 8),
    column("disk", 5),
];

const fn column(name: &'static str, width: u16) -> Column {
    Column { name, width, grows: 0, side: Side::Left, weight: 1 }
}

/// The workers that a filter lets through, in order.
pub(super) fn sorted(context: &Context<'_>, filter: &Filter, by: usize, reverse: bool) -> Vec<WorkerId> {
    let workers = context.farm.workers().values().filter(|worker| filter.matches(&Fit(worker)));
    let mut keyed: Vec<(Key<'_>, &WorkerId)> =
        workers.map(|worker| (key(worker, by), &worker.facts.worker)).collect();
    keyed.sort_by(|(a, first), (b, second)| {
        let order = a.compare(b);
        // Equal ones stay in the order of their names.
        if reverse { order.reverse() } else { order }.then_with(|| first.cmp(second))
    });
    keyed.into_iter().map(|(_, worker)| worker.clone()).collect()
}

enum Key<'a> {
    Name(&'a str),
    Number(u64),
    Part(f64),
}

impl Key<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Part(a), Self::Part(b)) => a.total_cmp(b),
            // All keys of a column are of one kind.
            (Self::Name(_) | Self::Number(_) | Self::Part(_), _) => Ordering::Equal,
        }
    }
}

fn key(worker: &Worker, by: usize) -> Key<'_> {
    let part = |meter: Meter| Key::Part(worker.load().and_then(|load| meter.part(load)).unwrap_or(-1.0));
    match by {
        1 => Key::Number(match worker.standing {
            Standing::Up => 0,
            Standing::Draining => 1,
            Standing::Lost { .. } => 2,
        }),
        2 => Key::Number(worker.running() as u64),
        3 => part(Meter::Cpu),
        4 => part(Meter::Memory),
        5 => Key::Number(worker.load().map_or(0, |load| Meter::Network.used(load).0)),
        6 => part(Meter::Disk),
        _ => Key::Name(&worker.facts.worker.0),
    }
}

/// The names of the columns, each a place to click.
pub(super) fn head(
    state: &TableState,
    area: Rect,
    shape: Shape,
    context: &Context<'_>,
    buffer: &mut Buffer,
    hits: &mut Hits,
) {
    let room = area.width.min(shape.panel.saturating_sub(1));
    let mut x = area.x;
    // The one that it is sorted by is always there.
    let others = (0..COLUMNS.len()).filter(|column| *column != state.sort);
    for column in std::iter::once(state.sort.min(COLUMNS.len() - 1)).chain(others) {
        let Column { name, .. } = COLUMNS[column];
        let mark = match (state.sort == column, state.reverse) {
            (false, _) => "",
            (true, false) => context.glyphs.ascending,
            (true, true) => context.glyphs.descending,
        };
        let text = format!("{}{mark}", name.to_uppercase());
        let wide = u16::try_from(text.chars().count()).unwrap_or(0);
        if x + wide > area.x + room {
            break;
        }
        let cell = Rect { x, width: wide, ..area };
        let style = if mark.is_empty() { context.theme.dim } else { context.theme.accent };
        put(&Line::styled(text, style), cell, Side::Left, context.glyphs, buffer);
        hits.add(cell, Target::Column(column));
        x += wide + 1;
    }
}

/// A worker as a filter sees it.
struct Fit<'a>(&'a Worker);

impl Fit<'_> {
    fn state(&self) -> &'static str {
        match self.0.standing {
            Standing::Up if self.0.running() > 0 => "up busy",
            Standing::Up => "up idle",
            Standing::Draining => "draining",
            Standing::Lost { .. } => "lost",
        }
    }
}

impl Fields for Fit<'_> {
    fn field(&self, key: &str) -> Option<Cow<'_, str>> {
        match key {
            "name" | "worker" => Some(Cow::Borrowed(&self.0.facts.worker.0)),
            "state" => Some(Cow::Borrowed(self.state())),
            "platform" => Some(Cow::Borrowed(&self.0.facts.platform)),
            "label" => Some(Cow::Owned(self.0.facts.labels.join(" "))),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        let facts = &self.0.facts;
        Cow::Owned(format!("{} {} {} {}", facts.worker, self.state(), facts.platform, facts.labels.join(" ")))
    }
}
