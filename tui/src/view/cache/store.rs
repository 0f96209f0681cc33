//! What the store holds, above the table of look-ups.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::forecast::{Forecast, forecast, total};
use crate::app::screen::Context;
use crate::state::text::harmless;
use crate::view::graph::{bar, spark_of};
use crate::view::table::{Side, put};
use crate::view::text::{percent, size, span};

/// Below this height the table of look-ups is worth more.
const LEAST: u16 = 9;
/// Cells of the bar of how full it is.
const BAR: usize = 20;
/// Values in the line of its size.
const SPARKS: usize = 30;

/// Draws it; gives the rows that it took.
pub(super) fn draw(context: &Context<'_>, area: Rect, buffer: &mut Buffer) -> u16 {
    let samples = context.farm.store();
    let Some((_, load)) = samples.back() else { return 0 };
    if area.height < LEAST {
        return 0;
    }
    let (theme, glyphs) = (context.theme, context.glyphs);
    let all = total(load);
    let most = load.limit.unwrap_or_else(|| all.saturating_add(load.free)).max(1);
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let full = all as f64 / most as f64;
    let style = theme.heat(1.0 - (full - 0.5) * 2.0);
    let [filled, rest] = bar(full, BAR, style, theme, glyphs);
    let of = if load.limit.is_some() { "of its limit" } else { "of the disk" };
    let mut first = vec![
        Span::styled("store ", theme.accent),
        Span::styled(format!("{} ", size(all)), theme.strong),
        filled,
        rest,
        Span::styled(format!(" {} ", percent(full)), style),
        Span::raw(format!("{of} {}, {} free", size(most), size(load.free))),
    ];
    let skip = samples.len().saturating_sub(SPARKS);
    let sizes: Vec<u64> = samples.iter().skip(skip).map(|(_, load)| total(load)).collect();
    first.push(Span::styled(format!("  {}", spark_of(&sizes, glyphs)), theme.dim));
    let mut second = Vec::new();
    for row in &load.rows {
        second.push(Span::styled(format!("{} ", harmless(&row.kind)), theme.dim));
        second.push(Span::raw(format!("{} ", size(row.bytes))));
        let free =
            if row.reclaimable > 0 { format!(", {} to prune", size(row.reclaimable)) } else { String::new() };
        second.push(Span::styled(format!("({}{free})  ", row.count), theme.dim));
    }
    let mut third = vec![
        Span::styled("hot ", theme.warn),
        Span::raw(format!("{} used within a day  ", size(load.hot))),
        Span::styled("cold ", theme.accent),
        Span::raw(format!("{}  ", size(load.cold))),
    ];
    third.extend(words(forecast(samples), context));
    let lines = [Line::from(first), Line::from(second), Line::from(third)];
    for (line, row) in lines.iter().zip(area.rows()) {
        put(line, row, Side::Left, glyphs, buffer);
    }
    let rule = glyphs.rule.repeat(usize::from(area.width));
    buffer.set_stringn(area.x, area.y + 3, rule, usize::from(area.width), theme.dim);
    4
}

/// When it is full, in words.
fn words(forecast: Forecast, context: &Context<'_>) -> Vec<Span<'static>> {
    let theme = context.theme;
    match forecast {
        Forecast::Unknown => Vec::new(),
        Forecast::Steady => vec![Span::styled("it does not grow", theme.dim)],
        Forecast::Grows { rate, to_limit, to_full } => {
            let mut spans = vec![Span::raw(format!("grows {}/min", size(rate)))];
            match to_limit {
                Some(0) => spans.push(Span::styled(", at its limit: pruned all the time", theme.bad)),
                Some(left) if left < to_full => {
                    spans.push(Span::styled(format!(", pruned at its limit in {}", span(left)), theme.warn));
                }
                Some(_) | None => {
                    spans.push(Span::styled(format!(", disk full in {}", span(to_full)), theme.bad));
                }
            }
            spans
        }
    }
}
