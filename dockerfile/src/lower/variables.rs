//! The variables of a stage: `ENV` and `ARG`, in the order of their first mention.
//!
//! Within a stage the later of an `ENV` and an `ARG` of one name counts, so that an argument can stand in
//! for what a base image sets. A stage that starts from another sees that one's `ENV` again.

use std::collections::HashMap;

use crate::ast::Word;
use crate::diagnostic::{Error, Span};
use crate::expand::{Expander, Quotes};

/// What `execve` takes in all is less than this.
const MAX_BYTES: usize = 2 << 20;

/// Names and values; setting one again keeps its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    entries: Vec<(String, String)>,
    index: HashMap<String, usize>,
    bytes: usize,
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).map(|at| self.entries[*at].1.as_str())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.bytes += name.len() + value.len() + 2;
        if let Some(at) = self.index.get(name) {
            let slot = &mut self.entries[*at].1;
            self.bytes -= name.len() + slot.len() + 2;
            value.clone_into(slot);
        } else {
            self.index.insert(name.to_owned(), self.entries.len());
            self.entries.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(super) fn entries(&self) -> &[(String, String)] {
        &self.entries
    }

    /// How much memory a copy of the entries takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The variables at one point of a stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    /// What the image's configuration holds.
    env: Table,
    /// What commands and expansions see.
    visible: Table,
}

impl Variables {
    pub(super) fn env(&self) -> &Table {
        &self.env
    }

    pub(super) fn visible(&self) -> &Table {
        &self.visible
    }

    pub(super) fn set_env(&mut self, name: &str, value: &str) {
        self.env.set(name, value);
        self.visible.set(name, value);
    }

    pub(super) fn set_arg(&mut self, name: &str, value: &str) {
        self.visible.set(name, value);
    }

    /// What a stage that starts from this one sees at first.
    pub(super) fn inherited(mut self) -> Self {
        for (name, value) in &self.env.entries {
            self.visible.set(name, value);
        }
        self
    }

    /// Checks that a process could still be started with these variables.
    pub(super) fn check_size(&self, span: Span) -> Result<(), Error> {
        if self.visible.bytes() <= MAX_BYTES {
            return Ok(());
        }
        Err(Error::new(span, format!("the variables of this stage are larger than {MAX_BYTES} bytes"))
            .with_hint("no process can be started with that many; keep large data in files"))
    }
}

/// Expands words against a table, under the Dockerfile's escape character.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expansions<'a> {
    escape: char,
    table: &'a Table,
}

impl<'a> Expansions<'a> {
    pub(super) fn new(escape: char, table: &'a Table) -> Self {
        Self { escape, table }
    }

    fn value(&self, name: &str) -> Option<String> {
        self.table.get(name).map(str::to_owned)
    }

    pub(super) fn word(&self, word: &Word) -> Result<String, Error> {
        self.text(&word.text, word.span)
    }

    pub(super) fn optional(&self, word: Option<&Word>) -> Result<Option<String>, Error> {
        let text = word.map(|word| self.word(word)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    pub(super) fn text(&self, text: &str, span: Span) -> Result<String, Error> {
        let expansion = Expander::new(self.escape).process_word(text, &|name| self.value(name));
        expansion.map(|expansion| expansion.text).map_err(|error| error.at(span))
    }

    pub(super) fn words(&self, word: &Word) -> Result<Vec<String>, Error> {
        let words = Expander::new(self.escape).process_words(&word.text, &|name| self.value(name));
        words.map_err(|error| error.at(word.span))
    }

    /// A here-document's escape character is the backslash whatever the Dockerfile says.
    pub(super) fn heredoc(&self, content: &str, span: Span) -> Result<String, Error> {
        let expansion = Expander::for_heredoc('\\').process_word(content, &|name| self.value(name));
        expansion.map(|expansion| expansion.text).map_err(|error| error.at(span))
    }

    /// For display: quotes and names without a value stay, and what cannot be expanded stays as it is.
    pub(super) fn display(&self, text: &str) -> String {
        let expander = Expander { escape: self.escape, quotes: Quotes::Literal };
        let shown = |name: &str| Some(self.value(name).unwrap_or_else(|| format!("${name}")));
        expander.process_word(text, &shown).map_or_else(|_| text.to_owned(), |expansion| expansion.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_env_and_arg_counts_and_env_is_inherited() {
        let mut variables = Variables::default();
        variables.set_arg("a", "arg");
        variables.set_env("a", "env");
        variables.set_arg("b", "arg");
        assert_eq!(variables.visible().get("a"), Some("env"));
        variables.set_arg("a", "later");
        assert_eq!(variables.visible().get("a"), Some("later"));
        assert_eq!(variables.env().entries(), [("a".to_owned(), "env".to_owned())]);
        let next = variables.inherited();
        assert_eq!((next.visible().get("a"), next.visible().get("b")), (Some("env"), Some("arg")));
    }

    #[test]
    fn a_table_knows_its_size_after_overwriting() {
        let mut table = Table::default();
        table.set("a", "123");
        table.set("a", "1");
        assert_eq!(table.bytes(), 4);
    }
}
