//! What the parser makes of a Dockerfile: a flat list of nodes, one an instruction.
//!
//! A node is split as far as its instruction's own syntax says (words, name and value pairs, one
//! string, a JSON array) and no further: variables are not expanded, quotes are kept, flags are not
//! interpreted. Each piece knows where it stands in the file, also behind line continuations.

use crate::diagnostic::{Diagnostic, Span};

/// A parsed Dockerfile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ast {
    /// The instructions, in order; at least one when parsing succeeded.
    pub nodes: Vec<Node>,
    /// The escape character: `\`, or `` ` `` when a directive says so.
    pub escape: char,
    /// The parser directives at the top of the file, in order, each name at most once.
    pub directives: Vec<Directive>,
    /// What is legal but will be regretted.
    pub warnings: Vec<Diagnostic>,
}

impl Ast {
    /// The value of a directive, when the file has it.
    pub fn directive(&self, name: DirectiveName) -> Option<&str> {
        self.directives.iter().find(|d| d.name == name).map(|d| d.value.as_str())
    }
}

/// A parser directive: `# name = value` before anything else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directive {
    /// Which one.
    pub name: DirectiveName,
    /// Its value, trimmed.
    pub value: String,
    /// The whole line.
    pub span: Span,
}

/// The directives that mean something; an unknown one is a comment.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DirectiveName {
    /// The front end to use.
    Syntax,
    /// The escape character.
    Escape,
    /// Which checks to skip, and whether they are errors.
    Check,
}

/// One instruction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// The instruction's name in lower case.
    pub keyword: String,
    /// The name as the author wrote it.
    pub original_keyword: String,
    /// Where the name stands.
    pub keyword_span: Span,
    /// The leading `--name` and `--name=value` words, unquoted and unescaped.
    pub flags: Vec<Flag>,
    /// The arguments.
    ///
    /// ENV and LABEL hold triples: name, value, and the separator (`=`, or nothing for the legacy
    /// form). HEALTHCHECK holds its type, then its command. Shell forms are one word.
    pub args: Vec<Word>,
    /// Whether the arguments were written as a JSON array (the exec form).
    pub json: bool,
    /// The here-documents, in the order in which the line names them.
    pub heredocs: Vec<Heredoc>,
    /// The instruction's line with continuations joined and comments gone; for the history.
    pub original: String,
    /// From the name to the end of the last line, here-documents included.
    pub span: Span,
    /// The instruction that ONBUILD defers.
    pub onbuild: Option<Box<Node>>,
    /// The comment lines directly above, without `#` and surrounding blanks.
    pub comments: Vec<String>,
}

impl Node {
    /// The texts of the arguments.
    pub fn arg_texts(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(|word| word.text.as_str())
    }
}

/// A flag of an instruction, such as `--from=builder`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flag {
    /// The flag with its dashes.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// An argument of an instruction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// The argument as written, quotes and variables included; decoded when it came from JSON.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A here-document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heredoc {
    /// The terminator, unquoted; also the name of the file that COPY and ADD make of it.
    pub name: String,
    /// The file descriptor before `<<`; 0 when none was written.
    pub fd: u32,
    /// The lines up to the terminator, each with its line end; leading tabs are still there.
    pub content: String,
    /// Whether variables are expanded: no part of the terminator was quoted.
    pub expand: bool,
    /// Whether leading tabs are to be stripped (`<<-`).
    pub chomp: bool,
    /// The content, then the terminator's line.
    pub span: Span,
}

impl Heredoc {
    /// The content as it ends up in a file: without leading tabs when `<<-` asked for it.
    #[must_use]
    pub fn chomped(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}
