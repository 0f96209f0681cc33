//! The flags of an instruction, checked against those that it knows.

use super::suggest;
use crate::ast::{Node, Word};
use crate::diagnostic::{Error, Span};

/// What a flag takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    /// `true` or `false`; nothing means `true`.
    Switch,
    /// One value.
    Text,
    /// One value each time it is given.
    List,
}

/// The flags that were given.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    name: &'static str,
    value: Word,
}

impl Flags {
    /// Reads the flags of `node`.
    pub(super) fn parse(node: &Node, known: &[(&'static str, Takes)]) -> Result<Self, Error> {
        let mut flags = Self::default();
        for flag in &node.flags {
            let text = flag.text.strip_prefix("--").unwrap_or(&flag.text);
            if text.is_empty() {
                break;
            }
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let Some((name, takes)) = known.iter().copied().find(|(known, _)| *known == name) else {
                return Err(unknown(node, name, known, flag.span));
            };
            if takes != Takes::List && flags.given.iter().any(|given| given.name == name) {
                let error = Error::new(flag.span, format!("duplicate flag specified: {name}"));
                return Err(error.with_hint(format!("give `--{name}` once")));
            }
            let text = match takes {
                Takes::Switch => switch(name, value, flag.span)?,
                Takes::Text | Takes::List => value.ok_or_else(|| missing_value(name, flag.span))?,
            };
            flags.given.push(Given { name, value: Word { text: text.to_owned(), span: flag.span } });
        }
        Ok(flags)
    }

    /// The value of a flag, when it was given.
    pub(super) fn text(&self, name: &str) -> Option<Word> {
        self.given.iter().find(|given| given.name == name).map(|given| given.value.clone())
    }

    /// Whether a switch is on, when it was given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.text(name).map(|word| word.text == "true")
    }

    /// All values of a flag.
    pub(super) fn list(&self, name: &str) -> Vec<Word> {
        self.given.iter().filter(|given| given.name == name).map(|given| given.value.clone()).collect()
    }

    /// The names of the flags, in the order in which they were first given.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for given in &self.given {
            if !names.contains(&given.name) {
                names.push(given.name);
            }
        }
        names
    }

    /// Where a flag stands, when it was given.
    pub(super) fn span(&self, name: &str) -> Option<Span> {
        self.given.iter().find(|given| given.name == name).map(|given| given.value.span)
    }
}

/// Checks that an instruction without flags was given none.
pub(super) fn none(node: &Node) -> Result<(), Error> {
    Flags::parse(node, &[]).map(|_| ())
}

fn switch<'a>(name: &str, value: Option<&'a str>, span: Span) -> Result<&'a str, Error> {
    match value {
        None => Ok("true"),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok("true"),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok("false"),
        Some(value) => {
            let error = Error::new(span, format!("expecting boolean value for flag {name}, not: {value}"));
            Err(error.with_hint(format!("write `--{name}`, `--{name}=true` or `--{name}=false`")))
        }
    }
}

fn missing_value(name: &str, span: Span) -> Error {
    Error::new(span, format!("missing a value on flag: {name}")).with_hint(format!("write `--{name}=value`"))
}

fn unknown(node: &Node, name: &str, known: &[(&'static str, Takes)], span: Span) -> Error {
    let keyword = node.keyword.to_ascii_uppercase();
    let otherwise = if known.is_empty() {
        format!("`{keyword}` takes no flags")
    } else {
        let names: Vec<String> = known.iter().map(|(name, _)| format!("`--{name}`")).collect();
        format!("`{keyword}` takes {}", names.join(", "))
    };
    let candidates: Vec<String> = known.iter().map(|(name, _)| format!("--{name}")).collect();
    let error = Error::new(span, format!("unknown flag: --{name}"));
    suggest(error, &format!("--{name}"), candidates.iter().map(String::as_str), &otherwise)
}
