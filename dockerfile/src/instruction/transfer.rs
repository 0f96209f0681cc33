//! `COPY` and `ADD`.

use super::flags::{Flags, Takes};
use crate::ast::{Node, Word};
use crate::diagnostic::Error;
use crate::parser::HeredocWord;

/// `COPY` or `ADD`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transfer {
    /// Whether it is `ADD`.
    pub add: bool,
    /// Paths, wildcards and, for `ADD`, addresses.
    pub sources: Vec<Word>,
    /// Here-documents; they are copied after `sources`.
    pub inline: Vec<Inline>,
    /// Where to.
    pub destination: Word,
    /// `--from`; never holds a variable.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<Word>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--unpack`, when it was given.
    pub unpack: Option<bool>,
    /// `--keep-git-dir`, when it was given, and where.
    pub keep_git_dir: Option<Word>,
}

/// A here-document that becomes a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inline {
    /// The file's name: the terminator.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Whether variables in it are expanded.
    pub expand: bool,
    /// The word on the instruction's line.
    pub word: Word,
}

const COMMON: [(&str, Takes); 4] =
    [("chown", Takes::Text), ("chmod", Takes::Text), ("link", Takes::Switch), ("exclude", Takes::List)];
const COPY_ONLY: [(&str, Takes); 2] = [("from", Takes::Text), ("parents", Takes::Switch)];
const ADD_ONLY: [(&str, Takes); 3] =
    [("checksum", Takes::Text), ("unpack", Takes::Switch), ("keep-git-dir", Takes::Switch)];

impl Transfer {
    pub(super) fn parse(node: &Node, add: bool) -> Result<Self, Error> {
        let name = if add { "ADD" } else { "COPY" };
        let [sources @ .., destination] = node.args.as_slice() else {
            return Err(no_destination(node, name));
        };
        if sources.is_empty() {
            return Err(no_destination(node, name));
        }
        let own: &[_] = if add { &ADD_ONLY } else { &COPY_ONLY };
        let flags = Flags::parse(node, &[&COMMON, own].concat())?;
        if heredoc_word(node, destination)?.is_some() {
            return Err(Error::new(
                destination.span,
                format!("{name} cannot accept a heredoc as a destination"),
            )
            .with_hint("the last argument is the path to copy to"));
        }
        let (inline, sources) = split_sources(node, sources)?;
        let from = flags.text("from");
        from.as_ref().map_or(Ok(()), check_from)?;
        Ok(Self {
            add,
            sources,
            inline,
            destination: destination.clone(),
            from: from.filter(|from| !from.text.is_empty()),
            chown: flags.text("chown"),
            chmod: flags.text("chmod"),
            link: flags.switch("link").unwrap_or(false),
            parents: flags.switch("parents").unwrap_or(false),
            exclude: flags.list("exclude"),
            checksum: flags.text("checksum"),
            unpack: flags.switch("unpack"),
            keep_git_dir: flags.text("keep-git-dir"),
        })
    }

    /// The instruction's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.add { "ADD" } else { "COPY" }
    }
}

fn no_destination(node: &Node, name: &str) -> Error {
    let message = format!(
        "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
    );
    Error::new(node.span, message).with_hint(format!("write `{name} source destination`"))
}

fn heredoc_word(node: &Node, word: &Word) -> Result<Option<HeredocWord>, Error> {
    // The strings of a JSON array are paths, whatever they look like.
    if node.json {
        return Ok(None);
    }
    HeredocWord::parse(&word.text)
        .map_err(|error| Error::new(word.span, error.to_string()).with_hint("write `<<EOF` or `<<'EOF'`"))
}

fn split_sources(node: &Node, words: &[Word]) -> Result<(Vec<Inline>, Vec<Word>), Error> {
    let mut inline = Vec::new();
    let mut paths = Vec::new();
    for word in words {
        let Some(heredoc) = heredoc_word(node, word)? else {
            paths.push(word.clone());
            continue;
        };
        // Of two documents of one name the later one counts, as a shell would overwrite the first.
        let content = node.heredocs.iter().rfind(|given| given.name == heredoc.name);
        inline.push(Inline {
            content: content.map_or_else(String::new, crate::ast::Heredoc::chomped),
            name: heredoc.name,
            expand: heredoc.expand,
            word: word.clone(),
        });
    }
    Ok((inline, paths))
}

fn check_from(from: &Word) -> Result<(), Error> {
    if !from.text.contains('$') {
        return Ok(());
    }
    let message = format!("variable expansion is not supported for --from: `{}`", from.text);
    Err(Error::new(from.span, message)
        .with_hint("add a stage, `FROM $NAME AS stage` with a global ARG, and write `--from=stage`"))
}
