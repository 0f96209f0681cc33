//! Bytes of a Dockerfile into an [`Ast`].
//!
//! The parser follows the Dockerfile reference, and the reference implementation where that is
//! silent. It works through the file once, line by line; its cost is linear in the file's size, and
//! it never recurses deeper than ONBUILD, which holds one instruction.
//!
//! Deliberately absent: what flags and arguments mean, variables, and the order of instructions.

mod directives;
mod dump;
mod heredoc;
mod json;
mod lines;
mod node;
mod words;

pub use heredoc::{HeredocWord, HeredocWordError};
pub use lines::{MAX_FILE_BYTES, MAX_LINE_BYTES};
pub use node::KEYWORDS;

use crate::ast::{Ast, Heredoc, Node};
use crate::diagnostic::{Diagnostic, Error, Span};
use directives::Directives;
use lines::{Line, Lines, LogicalLine, characters, strip_continuation};

/// Parses a Dockerfile.
///
/// # Examples
///
/// ```
/// let ast = farm_dockerfile::parse(b"FROM scratch\nCOPY a b /\n")?;
/// assert_eq!(ast.nodes[1].keyword, "copy");
/// assert_eq!(ast.nodes[1].arg_texts().collect::<Vec<_>>(), ["a", "b", "/"]);
/// # Ok::<(), farm_dockerfile::Error>(())
/// ```
pub fn parse(source: &[u8]) -> Result<Ast, Error> {
    match parse_up_to_error(source) {
        (ast, None) => Ok(ast),
        (_, Some(error)) => Err(error),
    }
}

/// Parses a Dockerfile as far as it can be parsed, so that what is wrong with the lines before an
/// error can be reported along with it. With an error the nodes may be none.
pub fn parse_up_to_error(source: &[u8]) -> (Ast, Option<Error>) {
    let lines = match Lines::new(source) {
        Ok(lines) => lines,
        Err(error) => {
            let nothing =
                Ast { nodes: Vec::new(), escape: '\\', directives: Vec::new(), warnings: Vec::new() };
            return (nothing, Some(error));
        }
    };
    let mut parser = Parser {
        lines,
        directives: Directives::new(),
        nodes: Vec::new(),
        warnings: Vec::new(),
        comments: Vec::new(),
    };
    let error = parser.run().err();
    (parser.into_ast(), error)
}

struct Parser<'a> {
    lines: Lines<'a>,
    directives: Directives,
    nodes: Vec<Node>,
    warnings: Vec<Diagnostic>,
    /// The comment lines directly above the next instruction.
    comments: Vec<String>,
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), Error> {
        while let Some(line) = self.lines.next()? {
            self.line(line)?;
        }
        if self.nodes.is_empty() {
            let line = self.lines.read().max(1);
            return Err(Error::new(Span::at(line, 1), "file with no instructions")
                .with_hint("a Dockerfile starts with `FROM image`"));
        }
        Ok(())
    }

    /// Takes the first physical line of whatever comes next.
    fn line(&mut self, line: Line<'a>) -> Result<(), Error> {
        if line.number == 1 && line.trimmed().starts_with(b"#!") {
            return Ok(());
        }
        if let Some(comment) = line.comment() {
            return self.comment(comment, line.span());
        }
        self.directives.close();
        if line.is_blank() {
            self.comments.clear();
            return Ok(());
        }
        self.instruction(line)
    }

    fn comment(&mut self, comment: String, span: Span) -> Result<(), Error> {
        if self.directives.offer(&comment, span)? {
            return Ok(());
        }
        if comment.is_empty() {
            self.comments.clear();
        } else {
            self.comments.push(comment);
        }
        Ok(())
    }

    fn instruction(&mut self, first: Line<'a>) -> Result<(), Error> {
        let (logical, end) = self.join(first)?;
        if logical.text().trim().is_empty() {
            return Err(Error::new(first.span(), "line continuation without an instruction")
                .with_hint("remove the line"));
        }
        let mut node = node::build(&logical, self.directives.escape(), end)?;
        node.comments = std::mem::take(&mut self.comments);
        let heredocs = match node::heredoc_owner(&mut node) {
            Some(_) => self.heredocs(&logical)?,
            None => Vec::new(),
        };
        if let Some(last) = heredocs.last() {
            node.span = node.span.to(last.span);
            if let Some(owner) = node::heredoc_owner(&mut node) {
                owner.span = owner.span.to(last.span);
                owner.heredocs = heredocs;
            }
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Joins a physical line with those that continue it. Returns the span of the last one too.
    fn join(&mut self, first: Line<'a>) -> Result<(LogicalLine, Span), Error> {
        let escape = self.directives.escape();
        let mut logical = LogicalLine::default();
        let mut empty = None;
        let text = first.trimmed_text()?;
        let indent = text.len() - text.trim_start().len();
        let mut column = 1 + characters(&text[..indent]);
        let mut text = &text[indent..];
        let mut end = first.span();
        while let Some(before) = strip_continuation(text, escape) {
            logical.push(before, end.line, column);
            let Some(line) = self.next_continued(&mut empty)? else {
                end = self.end_of_last_line(end);
                text = "";
                break;
            };
            (text, column, end) = (line.trimmed_text()?, 1, line.span());
        }
        logical.push(text, end.line, column);
        if let Some(span) = empty {
            let keyword = words::first_word(logical.text(), 0..logical.text().len()).0;
            let message = format!("empty continuation line in `{}`", &logical.text()[keyword]);
            // From the line that is too much to the end of the instruction.
            let warning = Diagnostic::warning(span.to(end), message);
            self.warnings.push(warning.with_hint("remove the line, or start it with `#`"));
        }
        Ok((logical, end))
    }

    /// The next line that adds to an instruction; comments and empty lines do not.
    fn next_continued(&mut self, empty: &mut Option<Span>) -> Result<Option<Line<'a>>, Error> {
        while let Some(line) = self.lines.next()? {
            if line.comment().is_some() {
                continue;
            }
            if !line.is_blank() {
                return Ok(Some(line));
            }
            empty.get_or_insert(line.span());
        }
        Ok(None)
    }

    /// The end of an instruction whose continuation swallowed everything up to the end of the file.
    fn end_of_last_line(&self, end: Span) -> Span {
        let line = self.lines.read();
        if line == end.end_line { end } else { Span { line, column: 1, end_line: line, end_column: 1 } }
    }

    /// Reads the contents of the here-documents that a line opens.
    fn heredocs(&mut self, line: &LogicalLine) -> Result<Vec<Heredoc>, Error> {
        let mut heredocs = node::opened_heredocs(line)?;
        for heredoc in &mut heredocs {
            self.heredoc(heredoc)?;
        }
        Ok(heredocs)
    }

    fn heredoc(&mut self, heredoc: &mut Heredoc) -> Result<(), Error> {
        let opened = heredoc.span;
        let first = self.lines.read().saturating_add(1);
        while let Some(line) = self.lines.next()? {
            let text = line.text()?;
            let terminator = text.trim_end_matches(['\r', '\n']);
            let terminator = if heredoc.chomp { terminator.trim_start_matches('\t') } else { terminator };
            if terminator == heredoc.name {
                heredoc.span = Span { line: first, column: 1, ..line.span() };
                return Ok(());
            }
            heredoc.content.push_str(text);
        }
        let name = directives::shortened(&heredoc.name);
        Err(Error::new(opened, format!("unterminated heredoc `{name}`"))
            .with_hint(format!("end it with a line that holds `{name}` and nothing else")))
    }

    fn into_ast(self) -> Ast {
        Ast {
            nodes: self.nodes,
            escape: self.directives.escape(),
            directives: self.directives.into_found(),
            warnings: self.warnings,
        }
    }
}

#[cfg(test)]
mod tests;
