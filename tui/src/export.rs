//! A frame or a farm outside of a terminal: as text, as text with colours, as a picture, and as JSON.
//!
//! All are pure: the same frame gives the same bytes. Files are written by whoever asks for them.

mod ansi;
mod json;
mod svg;

pub use ansi::{ansi, text};
pub use json::json;
pub use svg::{Paper, svg};

use ratatui::buffer::{Buffer, Cell};
use unicode_width::UnicodeWidthStr as _;

/// A cell that shows something, with its column and how many columns it covers.
struct Glyph<'a> {
    column: u16,
    columns: u16,
    cell: &'a Cell,
}

/// The cells of a row from the left to the right, without those that lie under the character before them.
fn glyphs(frame: &Buffer, row: u16) -> Vec<Glyph<'_>> {
    let area = frame.area;
    let (mut glyphs, mut column) = (Vec::with_capacity(area.width.into()), 0);
    while column < area.width {
        let cell = &frame[(area.x + column, area.y + row)];
        let width = u16::try_from(cell.symbol().width()).unwrap_or(1);
        let columns = width.clamp(1, area.width - column);
        glyphs.push(Glyph { column, columns, cell });
        column += columns;
    }
    glyphs
}
