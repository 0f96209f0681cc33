//! What is said of an image above its layers, and of a layer below them.

use ratatui::text::{Line, Span};

use crate::app::screen::Context;
use crate::state::images::{ImageDetail, Layer, LayerWaste};
use crate::state::text::harmless;
use crate::view::text::{first_line, percent, size};

/// The image in a few lines: its sizes, what its stages weighed, and how much of it is ever seen.
pub(super) fn head(
    image: &str,
    detail: Option<&ImageDetail>,
    waste: Option<&Vec<LayerWaste>>,
    context: &Context<'_>,
) -> Vec<Line<'static>> {
    let theme = context.theme;
    let mut first = vec![Span::styled(harmless(image).into_owned(), theme.strong)];
    let Some(detail) = detail else { return vec![Line::from(first)] };
    let row = &detail.row;
    let packed = row.packed.map(|bytes| format!(", {} packed", size(bytes))).unwrap_or_default();
    let text = format!("  {} unpacked{packed}, {}", size(row.bytes), harmless(&row.platform));
    first.push(Span::styled(text, theme.text));
    if row.pinned {
        first.push(Span::styled("  pinned", theme.accent));
    }
    let mut lines = vec![Line::from(first)];
    if let Some(waste) = waste {
        lines.push(efficiency(waste, context));
    }
    if !detail.stages.is_empty() {
        let mut spans = vec![Span::styled("stages ", theme.dim)];
        for (at, (name, bytes, kept)) in detail.stages.iter().enumerate() {
            let style = if *kept { theme.good } else { theme.dim };
            let word = if *kept { "kept" } else { "discarded" };
            let comma = if at > 0 { ", " } else { "" };
            spans.push(Span::raw(comma));
            spans.push(Span::styled(format!("{} {} {word}", harmless(name), size(*bytes)), style));
        }
        lines.push(Line::from(spans));
    }
    lines
}

/// The part of the image that a container can see, of all that it carries.
fn efficiency(waste: &[LayerWaste], context: &Context<'_>) -> Line<'static> {
    let sum = |bytes: fn(&LayerWaste) -> u64| waste.iter().map(bytes).fold(0, u64::saturating_add);
    let (all, hidden) = (sum(|layer| layer.bytes), sum(|layer| layer.hidden_bytes));
    let twice = sum(|layer| layer.duplicate_bytes);
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let part = if all == 0 { 1.0 } else { 1.0 - hidden as f64 / all as f64 };
    let files = sum(|layer| layer.hidden_files);
    Line::from(vec![
        Span::styled(format!("{} efficient", percent(part)), context.theme.heat(part)),
        Span::styled(
            format!(
                ": {} in {files} files lie under later layers, {} lie there twice",
                size(hidden),
                size(twice)
            ),
            context.theme.dim,
        ),
    ])
}

/// A layer in a few lines: what made it, and its worst paths.
pub(super) fn foot(layer: &Layer, waste: Option<&LayerWaste>, context: &Context<'_>) -> Vec<Line<'static>> {
    let theme = context.theme;
    let mut lines = vec![
        Line::styled(context.glyphs.rule.repeat(12), theme.dim),
        Line::raw(first_line(&layer.created_by).into_owned()),
        Line::styled(harmless(&layer.digest).into_owned(), theme.dim),
    ];
    for (path, bytes) in waste.into_iter().flat_map(|waste| &waste.worst) {
        lines.push(Line::from(vec![
            Span::styled(format!("{:>8} ", size(*bytes)), theme.warn),
            Span::raw(harmless(path).into_owned()),
        ]));
    }
    lines
}
