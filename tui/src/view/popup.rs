//! A box above a screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget as _};

use super::glyphs::Glyphs;
use super::table::{Side, put, scroll_bar};
use super::text::{clip, width};
use super::theme::Theme;

/// Draws an empty box of at most this size in the middle of an area, and gives its inside.
pub fn frame(
    title: &str,
    (columns, rows): (u16, u16),
    area: Rect,
    theme: &Theme,
    glyphs: &Glyphs,
    buffer: &mut Buffer,
) -> Rect {
    let area = area.intersection(buffer.area);
    let (columns, rows) =
        (columns.saturating_add(4).min(area.width), rows.saturating_add(2).min(area.height));
    let place = Rect {
        x: area.x + (area.width - columns) / 2,
        y: area.y + (area.height - rows) / 2,
        width: columns,
        height: rows,
    };
    Clear.render(place, buffer);
    // Half of a wide character would reach over the edge.
    if let Some(x) = place.x.checked_sub(1).filter(|x| *x >= area.x) {
        for y in place.y..place.bottom() {
            if width(buffer[(x, y)].symbol()) > 1 {
                buffer[(x, y)].set_symbol(" ");
            }
        }
    }
    if columns < 5 || rows < 3 {
        return place;
    }
    let [left_top, right_top, left_bottom, right_bottom, rule, side] = glyphs.frame;
    let across = rule.repeat(usize::from(columns - 2));
    let (right, bottom) = (place.right() - 1, place.bottom() - 1);
    buffer.set_string(place.x, place.y, format!("{left_top}{across}{right_top}"), theme.dim);
    buffer.set_string(place.x, bottom, format!("{left_bottom}{across}{right_bottom}"), theme.dim);
    for y in place.y + 1..bottom {
        buffer.set_string(place.x, y, side, theme.dim);
        buffer.set_string(right, y, side, theme.dim);
    }
    let title = clip(title, usize::from(columns.saturating_sub(6)), glyphs.ellipsis);
    if !title.is_empty() {
        buffer.set_string(place.x + 2, place.y, format!(" {title} "), theme.accent);
    }
    Rect { x: place.x + 2, y: place.y + 1, width: columns - 4, height: rows - 2 }
}

/// Lines in a box, from the line `scroll` on; gives the furthest that it can be scrolled.
pub fn lines(
    title: &str,
    lines: &[Line<'_>],
    scroll: usize,
    area: Rect,
    (theme, glyphs): (&Theme, &Glyphs),
    buffer: &mut Buffer,
) -> usize {
    let wide = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len() + 2);
    let size = (u16::try_from(wide).unwrap_or(u16::MAX), u16::try_from(lines.len()).unwrap_or(u16::MAX));
    let inside = frame(title, size, area, theme, glyphs, buffer);
    let height = usize::from(inside.height);
    let most = lines.len().saturating_sub(height);
    let scroll = scroll.min(most);
    for (line, row) in lines.iter().skip(scroll).zip(inside.rows()) {
        put(line, row, Side::Left, glyphs, buffer);
    }
    let edge = Rect { width: inside.width + 2, ..inside };
    scroll_bar(edge, scroll, height, lines.len(), (theme, glyphs), buffer);
    most
}
