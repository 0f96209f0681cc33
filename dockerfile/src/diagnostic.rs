//! Positions in a Dockerfile, and messages that point at them.
//!
//! Lines and columns count from 1; columns count characters, not bytes, because that is what an
//! editor shows. A message is a lower-case fragment with values in backticks; the way out is a
//! separate hint. Deliberately absent: colours and terminal widths, which belong to the console.

use std::fmt;

/// A stretch of source text, from its first character up to, and not including, its end.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// First line, counted from 1.
    pub line: u32,
    /// Column of the first character, counted from 1 in characters.
    pub column: u32,
    /// Last line, counted from 1; equal to `line` for text on one line.
    pub end_line: u32,
    /// Column just behind the last character, on `end_line`.
    pub end_column: u32,
}

impl Span {
    /// One character.
    #[must_use]
    pub const fn at(line: u32, column: u32) -> Self {
        Self { line, column, end_line: line, end_column: column.saturating_add(1) }
    }

    /// From the start of `self` to the end of `other`.
    #[must_use]
    pub const fn to(self, other: Self) -> Self {
        Self { end_line: other.end_line, end_column: other.end_column, ..self }
    }
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The build goes on.
    Warning,
    /// The Dockerfile cannot be built.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A message about a place in a Dockerfile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a hint.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span, hint: None }
    }

    /// A warning without a hint.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into(), span, hint: None }
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The message, its place, the line itself with a caret under the place, and the hint.
    ///
    /// `source` is the text of the whole file. A line that `source` does not have is left out.
    #[must_use]
    pub fn render(&self, file_name: &str, source: &str) -> String {
        let Span { line, column, .. } = self.span;
        let mut out =
            format!("{}: {}\n  --> {file_name}:{line}:{column}\n", self.severity, printable(&self.message));
        let index = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        if let Some(text) = source.split('\n').nth(index) {
            let text = text.strip_suffix('\r').unwrap_or(text);
            let text = if line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
            out.push_str(&excerpt(text, self.span));
        }
        if let Some(hint) = &self.hint {
            out.push_str("hint: ");
            out.push_str(&printable(hint));
            out.push('\n');
        }
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.span.line, self.span.column, self.message)
    }
}

/// Why a Dockerfile was rejected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{diagnostic}")]
pub struct Error {
    diagnostic: Box<Diagnostic>,
}

impl Error {
    /// An error at a place, without a hint.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Diagnostic::error(span, message).into()
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic.hint = Some(hint.into());
        self
    }

    /// What is wrong and where.
    pub fn diagnostic(&self) -> &Diagnostic {
        &self.diagnostic
    }

    /// Where it is wrong.
    pub fn span(&self) -> Span {
        self.diagnostic.span
    }
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostic: Box::new(diagnostic) }
    }
}

/// How much of a long line is shown before and behind the place.
const CONTEXT: usize = 60;

/// The line with a gutter, and a second line with carets under `span`.
fn excerpt(text: &str, span: Span) -> String {
    let column = usize::try_from(span.column).unwrap_or(usize::MAX).max(1) - 1;
    let length = text.chars().count();
    let start = column.min(length);
    let wanted_end = if span.end_line == span.line {
        usize::try_from(span.end_column).unwrap_or(usize::MAX).saturating_sub(1)
    } else {
        length
    };
    let end = wanted_end.clamp(start, length).max(start + 1);

    let (from, cut_front) = if start > 2 * CONTEXT { (start - CONTEXT, "…") } else { (0, "") };
    let until = length.min(end.max(start + CONTEXT).min(start + 2 * CONTEXT));
    let cut_back = if until < length { "…" } else { "" };
    let shown: String = text.chars().skip(from).take(until.saturating_sub(from)).map(one_column).collect();
    let carets = end.min(until.max(start + 1)) - start;
    let number = span.line.to_string();
    let gutter = " ".repeat(number.len());
    let indent = " ".repeat(start - from + cut_front.chars().count());
    format!(
        "{gutter} |\n{number} | {cut_front}{shown}{cut_back}\n{gutter} | {indent}{}\n",
        "^".repeat(carets)
    )
}

/// A character that keeps the caret line aligned and cannot steer a terminal.
fn one_column(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Text from a file, safe to show: a Dockerfile must not be able to send escape sequences.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_shows_place_line_caret_and_hint() {
        let span = Span { line: 2, column: 1, end_line: 2, end_column: 5 };
        let shown = Diagnostic::error(span, "unknown instruction: COPI")
            .with_hint("did you mean `COPY`?")
            .render("Dockerfile", "FROM scratch\nCOPI a b\n");
        assert_eq!(
            shown,
            "error: unknown instruction: COPI\n  --> Dockerfile:2:1\n  |\n2 | COPI a b\n  | ^^^^\n\
             hint: did you mean `COPY`?\n"
        );
    }

    #[test]
    fn columns_count_characters_and_tabs_keep_the_caret_aligned() {
        let span = Span { line: 1, column: 4, end_line: 1, end_column: 5 };
        let shown = Diagnostic::warning(span, "here").render("f", "\té×x\r\n");
        assert!(shown.contains("1 |  é×x\n  |    ^\n"), "{shown}");
    }

    #[test]
    fn span_over_several_lines_underlines_the_rest_of_its_first_line() {
        let span = Span { line: 1, column: 5, end_line: 3, end_column: 2 };
        let shown = Diagnostic::error(span, "x").render("f", "RUN a \\\n b\n c\n");
        assert!(shown.contains("  |     ^^^\n"), "{shown}");
    }

    #[test]
    fn place_behind_the_end_of_the_file_leaves_the_line_out() {
        let shown = Diagnostic::error(Span::at(9, 9), "x").render("f", "FROM a");
        assert_eq!(shown, "error: x\n  --> f:9:9\n");
        let shown = Diagnostic::error(Span::at(1, 40), "x").render("f", "FROM a");
        assert!(shown.contains("1 | FROM a\n  |       ^\n"), "{shown}");
    }

    #[test]
    fn long_line_is_shown_around_the_place() {
        let source = format!("{}here{}", "a".repeat(500), "b".repeat(500));
        let span = Span { line: 1, column: 501, end_line: 1, end_column: 505 };
        let shown = Diagnostic::error(span, "x").render("f", &source);
        assert!(shown.lines().all(|l| l.chars().count() < 200), "{shown}");
        assert!(shown.contains("ahereb") && shown.contains("^^^^"), "{shown}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let shown = Diagnostic::error(Span::at(1, 1), "bad \u{1b}[2J").render("f", "\u{1b}[31mX");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}
