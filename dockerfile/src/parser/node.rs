//! One logical line into one node: name, flags, and arguments split as the instruction wants.

use std::ops::Range;

use super::directives::shortened;
use super::heredoc::{HeredocWord, shell_words};
use super::json::{ExecForm, exec_form};
use super::lines::LogicalLine;
use super::words::{
    self, NameValueError, Token, first_word, name_values, split_at_blanks, split_flags, split_quoted,
};
use crate::ast::{Flag, Heredoc, Node, Word};
use crate::diagnostic::{Error, Span};

/// The instructions, in lower case.
pub const KEYWORDS: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// How an instruction splits its arguments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Syntax {
    /// A JSON array, else one string.
    ExecOrShell,
    /// A JSON array, else words between blanks.
    ExecOrList,
    /// Names and values.
    NameValues,
    /// Words that may be quoted.
    QuotedWords,
    /// Words between blanks.
    List,
    /// One string.
    Whole,
    /// A word, then as `ExecOrShell`.
    Health,
    /// Another instruction.
    Instruction,
}

/// Where a node stands: ONBUILD can hold any instruction but itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Position {
    Top,
    InOnbuild,
}

/// Splits arguments of one line.
struct Builder<'a> {
    line: &'a LogicalLine,
    escape: char,
    /// From the name to the end of the last physical line.
    span: Span,
}

/// Makes the node of a logical line that ends at `end`.
pub(super) fn build(line: &LogicalLine, escape: char, end: Span) -> Result<Node, Error> {
    let text = line.text();
    let range = words::trim(text, 0..text.len());
    let span = line.span(&range).to(end);
    Builder { line, escape, span }.node(range, Position::Top)
}

/// The node that here-documents of a line belong to, if it can have any.
pub(super) fn heredoc_owner(node: &mut Node) -> Option<&mut Node> {
    let owner = match node.onbuild {
        Some(ref mut inner) => inner.as_mut(),
        None => node,
    };
    (matches!(owner.keyword.as_str(), "run" | "copy" | "add") && !owner.json).then_some(owner)
}

/// The here-documents that a line opens, without their content, and where each is named.
pub(super) fn opened_heredocs(line: &LogicalLine) -> Result<Vec<Heredoc>, Error> {
    let text = line.text();
    if !text.contains("<<") {
        return Ok(Vec::new());
    }
    let mut heredocs = Vec::new();
    for token in shell_words(text, 0..text.len()) {
        let span = line.span(&token.range);
        let word = HeredocWord::parse(&token.text)
            .map_err(|error| Error::new(span, error.to_string()).with_hint("write `<<EOF` or `<<'EOF'`"))?;
        heredocs.extend(word.map(|HeredocWord { name, fd, expand, chomp }| Heredoc {
            name,
            fd,
            content: String::new(),
            expand,
            chomp,
            span,
        }));
    }
    Ok(heredocs)
}

impl Builder<'_> {
    fn node(&self, range: Range<usize>, position: Position) -> Result<Node, Error> {
        let text = self.line.text();
        let (name, rest) = first_word(text, range.clone());
        let keyword_span = self.line.span(&name);
        let original_keyword = text[name].to_owned();
        let keyword = original_keyword.to_ascii_lowercase();
        let syntax =
            syntax_of(&keyword).ok_or_else(|| unknown_instruction(&original_keyword, keyword_span))?;
        if syntax == Syntax::Instruction && position == Position::InOnbuild {
            let message = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";
            return Err(Error::new(keyword_span, message).with_hint("remove the second `ONBUILD`"));
        }
        let (flags, rest) = split_flags(text, rest);
        let flags = flags.into_iter().map(|t| Flag { span: self.line.span(&t.range), text: t.text });
        let mut node = Node {
            keyword,
            original_keyword,
            keyword_span,
            flags: flags.collect(),
            args: Vec::new(),
            json: false,
            heredocs: Vec::new(),
            original: text[words::trim(text, range)].to_owned(),
            span: Span { line: keyword_span.line, column: keyword_span.column, ..self.span },
            onbuild: None,
            comments: Vec::new(),
        };
        self.fill(&mut node, syntax, words::trim(text, rest))?;
        Ok(node)
    }

    fn fill(&self, node: &mut Node, syntax: Syntax, rest: Range<usize>) -> Result<(), Error> {
        let text = self.line.text();
        match syntax {
            Syntax::ExecOrShell => self.exec_or(node, rest, whole)?,
            Syntax::ExecOrList => self.exec_or(node, rest, list_with_heredocs)?,
            Syntax::NameValues => {
                let triples = name_values(text, rest, self.escape)
                    .map_err(|error| self.name_value_error(node, error))?;
                self.push(node, triples);
            }
            Syntax::QuotedWords => self.push(node, split_quoted(text, rest, self.escape)),
            Syntax::List => self.push(node, split_at_blanks(text, rest)),
            Syntax::Whole => self.push(node, whole(text, rest)),
            Syntax::Health => {
                let end = text[rest.clone()].find(char::is_whitespace);
                let kind = rest.start..end.map_or(rest.end, |end| rest.start + end);
                let command = words::trim(text, kind.end..rest.end);
                self.push(node, whole(text, kind));
                self.exec_or(node, command, whole)?;
            }
            Syntax::Instruction => {
                if !rest.is_empty() {
                    node.onbuild = Some(Box::new(self.node(rest, Position::InOnbuild)?));
                }
            }
        }
        Ok(())
    }

    fn exec_or(
        &self,
        node: &mut Node,
        rest: Range<usize>,
        otherwise: fn(&str, Range<usize>) -> Vec<Token>,
    ) -> Result<(), Error> {
        match exec_form(self.line.text(), rest.clone()) {
            ExecForm::Strings(strings) => {
                node.json = true;
                self.push(node, strings);
            }
            ExecForm::NotJson => self.push(node, otherwise(self.line.text(), rest)),
            ExecForm::OtherJson => {
                let message = "a JSON array of arguments must hold nothing but strings";
                return Err(Error::new(self.line.span(&rest), message)
                    .with_hint("put each element into double quotes"));
            }
        }
        Ok(())
    }

    fn push(&self, node: &mut Node, tokens: Vec<Token>) {
        let words = tokens.into_iter().map(|t| Word { span: self.line.span(&t.range), text: t.text });
        node.args.extend(words);
    }

    fn name_value_error(&self, node: &Node, error: NameValueError) -> Error {
        match error {
            NameValueError::NoValue => {
                let keyword = node.keyword.to_ascii_uppercase();
                Error::new(node.keyword_span.to(self.span), format!("{keyword} must have two arguments"))
                    .with_hint(format!("write `{keyword} name=value`"))
            }
            NameValueError::NoEquals(word) => {
                let message = format!("`{}` has no `=`", shortened(&word.text));
                Error::new(self.line.span(&word.range), message)
                    .with_hint("write `name=value`, and quote values that contain blanks")
            }
        }
    }
}

fn whole(text: &str, range: Range<usize>) -> Vec<Token> {
    if range.is_empty() {
        return Vec::new();
    }
    vec![Token { text: text[range.clone()].to_owned(), range }]
}

/// Words between blanks, except that the word of a here-document stays in one piece.
fn list_with_heredocs(text: &str, range: Range<usize>) -> Vec<Token> {
    let words = shell_words(text, range.clone());
    let opens = |token: &Token| matches!(HeredocWord::parse(&token.text), Ok(Some(_)));
    if words.iter().any(opens) { words } else { split_at_blanks(text, range) }
}

fn syntax_of(keyword: &str) -> Option<Syntax> {
    Some(match keyword {
        "cmd" | "entrypoint" | "run" | "shell" => Syntax::ExecOrShell,
        "add" | "copy" | "volume" => Syntax::ExecOrList,
        "env" | "label" => Syntax::NameValues,
        "arg" => Syntax::QuotedWords,
        "expose" | "from" => Syntax::List,
        "maintainer" | "stopsignal" | "user" | "workdir" => Syntax::Whole,
        "healthcheck" => Syntax::Health,
        "onbuild" => Syntax::Instruction,
        _ => return None,
    })
}

fn unknown_instruction(written: &str, span: Span) -> Error {
    let error = Error::new(span, format!("unknown instruction: {}", shortened(written)));
    match nearest(&written.to_ascii_lowercase()) {
        Some(keyword) => error.with_hint(format!("did you mean `{}`?", keyword.to_ascii_uppercase())),
        None => error.with_hint("each line must start with an instruction such as `RUN` or `COPY`"),
    }
}

/// The keyword that a typing error most likely meant.
fn nearest(written: &str) -> Option<&'static str> {
    const LONGEST: usize = 16;
    if written.len() > LONGEST {
        return None;
    }
    KEYWORDS
        .into_iter()
        .map(|keyword| (strsim::damerau_levenshtein(written, keyword), keyword))
        .filter(|&(distance, keyword)| distance * 3 <= keyword.len().max(3))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, keyword)| keyword)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyword_has_a_syntax() {
        assert!(KEYWORDS.into_iter().all(|keyword| syntax_of(keyword).is_some()));
    }

    #[test]
    fn typing_errors_find_their_instruction() {
        for (written, meant) in [("form", "from"), ("rum", "run"), ("entripoint", "entrypoint")] {
            assert_eq!(nearest(written), Some(meant));
        }
        assert_eq!(nearest("foo"), None);
        assert_eq!(nearest(&"a".repeat(1000)), None);
    }
}
