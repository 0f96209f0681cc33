//! The physical lines of a Dockerfile, and the logical lines that continuations make of them.
//!
//! A logical line remembers where each of its pieces came from, so that a word behind three
//! continuations is still reported where the author wrote it.

use std::cell::Cell;
use std::ops::Range;

use crate::diagnostic::{Error, Span};

/// A larger file is not something that a person wrote.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// A longer physical line is rejected.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Walks over the physical lines of a file.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    read: u32,
}

/// A physical line with its line end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: u32,
    bytes: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Starts behind a byte order mark.
    pub(super) fn new(source: &'a [u8]) -> Result<Self, Error> {
        if source.len() > MAX_FILE_BYTES {
            let message = format!("file is larger than {MAX_FILE_BYTES} bytes");
            return Err(Error::new(Span::at(1, 1), message)
                .with_hint("move embedded data into files of the build context"));
        }
        let rest = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
        Ok(Self { rest, read: 0 })
    }

    /// How many lines were read so far: the number of the last one.
    pub(super) fn read(&self) -> u32 {
        self.read
    }

    /// The next line, or nothing at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Line<'a>>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let length = self.rest.iter().position(|&b| b == b'\n').map_or(self.rest.len(), |at| at + 1);
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.read += 1;
        if length > MAX_LINE_BYTES {
            let message = format!("line is longer than {MAX_LINE_BYTES} bytes");
            return Err(Error::new(Span::at(self.read, 1), message)
                .with_hint("break it with line continuations, or move the data into a file"));
        }
        Ok(Some(Line { number: self.read, bytes }))
    }
}

impl<'a> Line<'a> {
    /// The line without its line end.
    pub(super) fn trimmed(self) -> &'a [u8] {
        let end = self.bytes.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
        &self.bytes[..end]
    }

    /// The line as text, with its line end.
    pub(super) fn text(self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes).map_err(|error| {
            let valid = &self.bytes[..error.valid_up_to()];
            let column = characters(&String::from_utf8_lossy(valid)) + 1;
            Error::new(Span::at(self.number, column), "line is not valid UTF-8")
                .with_hint("save the file as UTF-8")
        })
    }

    /// The line as text, without its line end.
    pub(super) fn trimmed_text(self) -> Result<&'a str, Error> {
        Ok(self.text()?.trim_end_matches(['\r', '\n']))
    }

    /// What stands behind `#`, when the line is a comment.
    ///
    /// Comments are the one place where bytes that are not UTF-8 are let through.
    pub(super) fn comment(self) -> Option<String> {
        let text = String::from_utf8_lossy(self.trimmed());
        text.trim_start().strip_prefix('#').map(|comment| comment.trim().to_owned())
    }

    /// Whether the line holds nothing but whitespace.
    pub(super) fn is_blank(self) -> bool {
        std::str::from_utf8(self.bytes).is_ok_and(|text| text.trim().is_empty())
    }

    /// From the first character to the last.
    pub(super) fn span(self) -> Span {
        let text = String::from_utf8_lossy(self.trimmed());
        let length = characters(&text);
        Span { line: self.number, column: 1, end_line: self.number, end_column: length + 1 }
    }
}

/// Physical lines joined by continuations.
#[derive(Debug, Default)]
pub(super) struct LogicalLine {
    text: String,
    pieces: Vec<Piece>,
    cursor: Cell<Cursor>,
}

/// Where the text from `offset` on was written.
#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: usize,
    line: u32,
    column: u32,
}

/// The last place that was asked for. Questions come in order, so counting goes on from here
/// instead of from the start of the line, which keeps a line of many words linear.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    piece: usize,
    offset: usize,
    column: u32,
}

impl LogicalLine {
    /// Appends text that was written at a place.
    pub(super) fn push(&mut self, text: &str, line: u32, column: u32) {
        let offset = self.text.len();
        if self.pieces.is_empty() {
            self.cursor.set(Cursor { piece: 0, offset, column });
        }
        // A piece without text would make two pieces start at one offset.
        if !text.is_empty() || self.pieces.is_empty() {
            if self.pieces.last().is_some_and(|last| last.offset == offset) {
                self.pieces.pop();
                self.cursor.set(Cursor { piece: 0, offset, column });
            }
            self.pieces.push(Piece { offset, line, column });
        }
        self.text.push_str(text);
    }

    /// The joined text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where a range of the text was written.
    pub(super) fn span(&self, range: &Range<usize>) -> Span {
        let (line, column) = self.place(range.start);
        let last = self.text[range.clone()].char_indices().next_back();
        let Some((last, _)) = last else {
            return Span { line, column, end_line: line, end_column: column };
        };
        let (end_line, end_column) = self.place(range.start + last);
        Span { line, column, end_line, end_column: end_column + 1 }
    }

    fn place(&self, offset: usize) -> (u32, u32) {
        let mut cursor = self.cursor.get();
        if offset < cursor.offset {
            let piece = self.pieces.partition_point(|p| p.offset <= offset).saturating_sub(1);
            cursor = self.start_of(piece);
        }
        while self.pieces.get(cursor.piece + 1).is_some_and(|next| next.offset <= offset) {
            cursor = self.start_of(cursor.piece + 1);
        }
        cursor.column += characters(&self.text[cursor.offset..offset]);
        cursor.offset = offset;
        self.cursor.set(cursor);
        (self.pieces.get(cursor.piece).map_or(1, |p| p.line), cursor.column)
    }

    fn start_of(&self, piece: usize) -> Cursor {
        let Piece { offset, column, .. } = self.pieces[piece];
        Cursor { piece, offset, column }
    }
}

/// The number of characters. A file is small enough for any count in it to fit.
pub(super) fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX - 1)
}

/// What a physical line is without its continuation character, if it has one.
///
/// The escape character continues the line when only blanks follow it and no second escape
/// character stands before it.
pub(super) fn strip_continuation(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_behind_a_continuation_is_that_of_its_physical_line() {
        let mut line = LogicalLine::default();
        line.push("RUN é ", 3, 5);
        line.push("", 4, 1);
        line.push("  x", 5, 1);
        let at = line.text().find('x').unwrap();
        assert_eq!(line.span(&(at..at + 1)), Span::at(5, 3));
        assert_eq!(line.span(&(4..6)), Span::at(3, 9));
        assert_eq!(
            line.span(&(0..line.text().len())),
            Span { line: 3, column: 5, end_line: 5, end_column: 4 }
        );
    }

    #[test]
    fn logical_line_may_start_with_nothing_but_a_continuation() {
        let mut line = LogicalLine::default();
        line.push("", 1, 1);
        line.push("RUN x", 2, 3);
        assert_eq!(line.span(&(0..3)), Span { line: 2, column: 3, end_line: 2, end_column: 6 });
    }

    #[test]
    fn only_a_single_escape_at_the_end_continues_a_line() {
        assert_eq!(strip_continuation(r"a \", '\\'), Some("a "));
        assert_eq!(strip_continuation("a\\ \t", '\\'), Some("a"));
        assert_eq!(strip_continuation(r"\", '\\'), Some(""));
        assert_eq!(strip_continuation(r"a \\", '\\'), None);
        assert_eq!(strip_continuation(r"a \\\", '\\'), None);
        assert_eq!(strip_continuation(r"a \", '`'), None);
        assert_eq!(strip_continuation("a `", '`'), Some("a "));
    }

    #[test]
    fn too_long_line_and_too_large_file_are_errors() {
        let long = vec![b'a'; MAX_LINE_BYTES + 1];
        assert!(Lines::new(&long).unwrap().next().is_err());
        let large = vec![b'\n'; MAX_FILE_BYTES + 1];
        assert!(Lines::new(&large).is_err());
    }
}
