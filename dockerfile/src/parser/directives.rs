//! Parser directives: `# name = value` lines before anything else in the file.
//!
//! The first line that is not a known directive ends them: a blank line, an instruction, and also
//! an ordinary comment. A `#!` line at the very top does not count.

use crate::ast::{Directive, DirectiveName};
use crate::diagnostic::{Error, Span};

/// Collects directives until something else comes.
#[derive(Debug)]
pub(super) struct Directives {
    found: Vec<Directive>,
    state: State,
    escape: char,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    Closed,
}

impl Directives {
    pub(super) fn new() -> Self {
        Self { found: Vec::new(), state: State::Open, escape: '\\' }
    }

    /// The escape character that holds from here on.
    pub(super) fn escape(&self) -> char {
        self.escape
    }

    pub(super) fn into_found(self) -> Vec<Directive> {
        self.found
    }

    /// No directive can come any more.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Takes a comment, without its `#`. Returns whether it was a directive.
    pub(super) fn offer(&mut self, comment: &str, span: Span) -> Result<bool, Error> {
        if self.state == State::Closed {
            return Ok(false);
        }
        let Some((name, written, value)) = split(comment) else {
            self.close();
            return Ok(false);
        };
        if self.found.iter().any(|d| d.name == name) {
            let message = format!("only one `{}` parser directive can be used", written.to_lowercase());
            return Err(Error::new(span, message).with_hint("remove this line"));
        }
        if name == DirectiveName::Escape {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    let message = format!("invalid escape character `{}`", shortened(value));
                    return Err(Error::new(span, message)
                        .with_hint("the `escape` directive takes a backslash or a backquote"));
                }
            };
        }
        self.found.push(Directive { name, value: value.to_owned(), span });
        Ok(true)
    }
}

/// The name, the name as written, and the value of a directive that means something.
fn split(comment: &str) -> Option<(DirectiveName, &str, &str)> {
    let (name, value) = comment.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if value.is_empty() {
        return None;
    }
    let known = match name.to_ascii_lowercase().as_str() {
        "syntax" => DirectiveName::Syntax,
        "escape" => DirectiveName::Escape,
        "check" => DirectiveName::Check,
        _ => return None,
    };
    Some((known, name, value))
}

/// A piece of the file short enough for a message.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(directives: &mut Directives, comment: &str) -> Result<bool, Error> {
        directives.offer(comment, Span::at(1, 1))
    }

    #[test]
    fn names_are_case_insensitive_and_blanks_do_not_matter() {
        let mut d = Directives::new();
        assert!(offer(&mut d, " SynTax =  docker/dockerfile:1 ").unwrap());
        assert!(offer(&mut d, "escape=`").unwrap());
        assert!(offer(&mut d, "check=skip=all;error=true").unwrap());
        assert_eq!(d.escape(), '`');
        let values: Vec<_> = d.into_found().into_iter().map(|d| d.value).collect();
        assert_eq!(values, ["docker/dockerfile:1", "`", "skip=all;error=true"]);
    }

    #[test]
    fn anything_else_ends_the_directives() {
        for other in ["a comment", "unknown=x", "escape", "escape= ", "=x"] {
            let mut d = Directives::new();
            assert!(!offer(&mut d, other).unwrap(), "{other}");
            assert!(!offer(&mut d, "escape=`").unwrap(), "{other}");
            assert_eq!(d.escape(), '\\');
        }
    }

    #[test]
    fn duplicate_and_bad_escape_are_errors() {
        let mut d = Directives::new();
        assert!(offer(&mut d, "escape=\\").unwrap());
        assert!(offer(&mut d, "ESCAPE=`").is_err());
        assert!(offer(&mut Directives::new(), "escape=/").is_err());
        assert!(offer(&mut Directives::new(), "escape=``").is_err());
    }
}
