//! Bars and lines of heights.

use ratatui::style::Style;
use ratatui::text::Span;

use super::glyphs::Glyphs;
use super::theme::Theme;

/// A bar of so many cells, filled from 0 to 1, in eighths where the signs allow.
pub fn bar(part: f64, cells: usize, style: Style, theme: &Theme, glyphs: &Glyphs) -> [Span<'static>; 2] {
    let steps = glyphs.bar.len();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "cells"
    )]
    let filled = (part.clamp(0.0, 1.0) * (cells * steps) as f64).round() as usize;
    let (full, rest) = (filled / steps, filled % steps);
    let mut text = glyphs.bar[steps - 1].repeat(full);
    if rest > 0 {
        text.push_str(glyphs.bar[rest - 1]);
    }
    let left = cells - full - usize::from(rest > 0);
    [Span::styled(text, style), Span::styled(glyphs.bar_rest.repeat(left), theme.dim)]
}

/// A cell for each value from 0 to 1, its height by the value; what is not known is empty.
pub fn spark(values: &[Option<f64>], glyphs: &Glyphs) -> String {
    let most = glyphs.spark.len() - 1;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "signs"
    )]
    let height = |value: f64| (value.clamp(0.0, 1.0) * (most - 1) as f64).round() as usize + 1;
    values.iter().map(|value| glyphs.spark[value.map_or(0, height)]).collect()
}

/// As [`spark`], of numbers, the largest of which is the full height.
pub fn spark_of(values: &[u64], glyphs: &Glyphs) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let parts: Vec<Option<f64>> = values.iter().map(|value| Some(*value as f64 / most as f64)).collect();
    spark(&parts, glyphs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::glyphs::GlyphSet;

    #[test]
    fn bars_have_their_cells() {
        let (theme, style) = (Theme::default(), Style::new());
        for set in GlyphSet::ALL {
            for part in [0.0, 0.01, 0.5, 0.99, 1.0, 7.0, f64::NAN] {
                let width: usize = bar(part, 9, style, &theme, set.glyphs()).iter().map(Span::width).sum();
                assert_eq!(width, 9);
            }
        }
        let [full, rest] = bar(0.5, 4, style, &theme, GlyphSet::Ascii.glyphs());
        assert_eq!((full.content.as_ref(), rest.content.as_ref()), ("##", ".."));
    }

    #[test]
    fn heights_are_told_apart() {
        assert_eq!(spark(&[None, Some(0.0), Some(1.0)], GlyphSet::Ascii.glyphs()), " .@");
        assert_eq!(spark_of(&[0, 4, 8], GlyphSet::Blocks.glyphs()), "▁▅█");
    }
}
