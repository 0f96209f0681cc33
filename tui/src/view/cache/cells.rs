//! What the table says of an image or a stage of it.

use std::borrow::Cow;

use ratatui::text::{Line, Span};

use crate::app::filter::Fields;
use crate::app::screen::Context;
use crate::state::CacheCell;
use crate::state::text::harmless;
use crate::view::graph::bar;
use crate::view::text::{ago, clip_start, percent, size, span};

/// Cells of the bar of a rate.
const BAR: usize = 8;
/// Stages whose rates are shown beside their image.
const STRIP: usize = 12;

/// A row: an image, or a stage of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Key {
    pub(super) image: String,
    pub(super) stage: Option<String>,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) image: &'a str,
    pub(super) stage: Option<&'a str>,
    pub(super) cell: &'a CacheCell,
}

impl Fields for Row<'_> {
    fn field(&self, key: &str) -> Option<Cow<'_, str>> {
        match key {
            "image" | "name" => Some(self.image.into()),
            "stage" => self.stage.map(Into::into),
            "state" => Some(if self.cell.misses > 0 { "missed" } else { "hit" }.into()),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        format!("{} {}", self.image, self.stage.unwrap_or_default()).into()
    }
}

pub(super) fn image(
    name: &str,
    cell: &CacheCell,
    is_open: bool,
    context: &Context<'_>,
    column: usize,
) -> Line<'static> {
    let (theme, glyphs) = (context.theme, context.glyphs);
    match column {
        0 => {
            let fold = if is_open { glyphs.unfolded } else { glyphs.folded };
            let name = harmless(name);
            // The end of a name tells it from others.
            let name = clip_start(&name, 40, glyphs.ellipsis).into_owned();
            Line::from(vec![Span::styled(format!("{fold} "), theme.accent), Span::styled(name, theme.strong)])
        }
        9 => {
            let all = context.farm.cache().cells();
            let first = (name.to_owned(), String::new());
            let stages = all.range(first..).take_while(|((image, _), _)| image == name).take(STRIP);
            let mut spans = Vec::new();
            for ((_, stage), cell) in stages {
                let Some(rate) = cell.hit_rate() else { continue };
                spans.push(Span::styled(format!("{} ", harmless(stage)), theme.dim));
                spans.push(Span::styled(format!("{}  ", percent(rate)), theme.heat(rate)));
            }
            Line::from(spans)
        }
        _ => numbers(cell, context, column),
    }
}

pub(super) fn stage(name: &str, cell: &CacheCell, context: &Context<'_>, column: usize) -> Line<'static> {
    match column {
        0 => Line::styled(format!("    {}", harmless(name)), context.theme.text),
        9 => Line::default(),
        _ => numbers(cell, context, column),
    }
}

fn numbers(cell: &CacheCell, context: &Context<'_>, column: usize) -> Line<'static> {
    let theme = context.theme;
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let bytes = |bytes: u64| if bytes == 0 { String::new() } else { size(bytes) };
    match column {
        1 => {
            let Some(rate) = cell.hit_rate() else { return Line::default() };
            let heat = theme.heat(rate);
            let [full, rest] = bar(rate, BAR, heat, theme, context.glyphs);
            Line::from(vec![full, rest, Span::styled(format!(" {:>4}", percent(rate)), heat)])
        }
        2 => Line::styled(number(cell.hits), theme.cached),
        3 => Line::styled(number(cell.misses), theme.text),
        4 => Line::styled(number(cell.shared), theme.shared),
        5 => Line::styled(bytes(cell.fetched), theme.text),
        6 if cell.saved_micros == 0 => Line::default(),
        6 => Line::styled(span(cell.saved_micros), theme.good),
        7 => Line::styled(bytes(cell.saved_bytes), theme.good),
        _ => Line::styled(ago(context.now, cell.last), theme.dim),
    }
}
