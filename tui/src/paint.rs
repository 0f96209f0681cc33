//! Full frames on their way to a terminal: only the cells that differ from the frame before are written.

use std::io;

use crossterm::cursor::Hide;
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::buffer::Buffer;

/// Turns frames into bytes for a terminal whose alternate screen is shown.
#[derive(Clone, Debug, Default)]
pub struct Painter {
    shown: Option<Buffer>,
}

impl Painter {
    /// The bytes that put `frame` on the screen; none when it is there already.
    pub fn paint(&mut self, frame: Buffer) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let shown = self.shown.take().filter(|shown| shown.area == frame.area);
        let blank = Buffer::empty(frame.area);
        let changes = shown.as_ref().unwrap_or(&blank).diff(&frame);
        if shown.is_none() || !changes.is_empty() {
            queue!(bytes, BeginSynchronizedUpdate)?;
            if shown.is_none() {
                queue!(bytes, Hide, Clear(ClearType::All))?;
            }
            CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
            queue!(bytes, EndSynchronizedUpdate)?;
        }
        self.shown = Some(frame);
        Ok(bytes)
    }

    /// Something else was on the screen: the next frame is written whole.
    pub fn forget(&mut self) {
        self.shown = None;
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn frame(text: &str) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 1));
        buffer.set_string(0, 0, text, Style::new());
        buffer
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut painter = Painter::default();
        let whole = painter.paint(frame("hello")).unwrap();
        assert!(String::from_utf8(whole).unwrap().contains("hello"));
        assert_eq!(painter.paint(frame("hello")).unwrap(), b"");
        let changed = String::from_utf8(painter.paint(frame("hellO")).unwrap()).unwrap();
        assert!(changed.contains('O') && !changed.contains("hell"), "{changed:?}");
        painter.forget();
        assert!(String::from_utf8(painter.paint(frame("hellO")).unwrap()).unwrap().contains("hellO"));
    }
}
