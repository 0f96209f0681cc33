//! What a terminal shows of builds: `state` is a fold over events and knows no terminal, `view` are pure functions of
//! borrowed state, size and time, `inline` puts frames below the text that scrolls by, and `export` takes them elsewhere;
//! `report` tells of a build after the fact.
//!
//! Nothing here opens a terminal, reads a clock or the environment; bytes come out, and whoever called writes them.

pub mod app;
pub mod export;
pub mod inline;
pub mod paint;
pub mod report;
pub mod state;
pub mod view;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

pub use inline::Inline;
pub use paint::Painter;
pub use state::Build;

/// Draws a widget into a frame of this size.
pub fn draw(widget: impl Widget, columns: u16, rows: u16) -> Buffer {
    let area = Rect::new(0, 0, columns, rows);
    let mut frame = Buffer::empty(area);
    widget.render(area, &mut frame);
    frame
}

/// The area of a terminal with so many columns and rows.
pub fn area(columns: u16, rows: u16) -> Rect {
    Rect::new(0, 0, columns, rows)
}
