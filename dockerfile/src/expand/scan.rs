//! The scanner behind expansion: one pass over a text, recursing into `${…}` up to a limit.

use std::collections::BTreeSet;
use std::str::Chars;

use super::pattern::Pattern;
use super::{Env, ExpandError, Expander, MAX_EXPANSION_BYTES, MAX_NESTING, Quotes};

/// The names that an expansion asked for.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) matched: BTreeSet<String>,
    pub(super) unmatched: BTreeSet<String>,
}

/// An expanded text, as a whole and in words.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) whole: String,
    words: Vec<String>,
    word: String,
}

impl Text {
    pub(super) fn into_words(mut self) -> Vec<String> {
        self.end_word();
        self.words
    }

    /// A character that ends a word if it is whitespace.
    fn push(&mut self, c: char) {
        self.whole.push(c);
        if c.is_whitespace() {
            self.end_word();
        } else {
            self.word.push(c);
        }
    }

    /// A character that is part of a word whatever it is.
    fn push_quoted(&mut self, c: char) {
        self.whole.push(c);
        self.word.push(c);
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }
}

/// Whether an escape character stays in front of what it escapes, which patterns want.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Escapes {
    Remove,
    Keep,
}

/// Expands a whole text.
pub(super) fn expand(expander: Expander, text: &str, env: &Env<'_>) -> Result<(Text, Names), ExpandError> {
    let mut scan = Scan {
        rest: text.chars(),
        expander,
        env,
        names: Names::default(),
        escapes: Escapes::Remove,
        depth: 0,
        produced: 0,
    };
    let text = scan.until(None)?;
    Ok((text, scan.names))
}

struct Scan<'a> {
    rest: Chars<'a>,
    expander: Expander,
    env: &'a Env<'a>,
    names: Names,
    escapes: Escapes,
    depth: u32,
    /// Bytes that values contributed so far, inner results included.
    produced: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    /// Takes `c` if it comes next.
    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.rest.next();
        }
        found
    }

    /// Expands up to `stop`, which is taken too, or up to the end.
    fn until(&mut self, stop: Option<char>) -> Result<Text, ExpandError> {
        let mut text = Text::default();
        while let Some(c) = self.peek() {
            if stop == Some(c) {
                self.rest.next();
                return Ok(text);
            }
            match c {
                '$' => self.dollar()?.chars().for_each(|c| text.push(c)),
                '\'' if self.expander.quotes == Quotes::Remove => self.single_quoted(&mut text)?,
                '"' if self.expander.quotes == Quotes::Remove => self.double_quoted(&mut text)?,
                c if c == self.expander.escape => self.escaped(&mut text),
                c => {
                    self.rest.next();
                    text.push(c);
                }
            }
        }
        match stop {
            Some(stop) => Err(ExpandError::Missing(stop)),
            None => Ok(text),
        }
    }

    /// An escape character outside quotes makes whatever follows literal. At the end it is dropped.
    fn escaped(&mut self, text: &mut Text) {
        self.rest.next();
        if self.escapes == Escapes::Keep {
            text.push_quoted(self.expander.escape);
        }
        if let Some(c) = self.rest.next() {
            text.push_quoted(c);
        }
    }

    fn single_quoted(&mut self, text: &mut Text) -> Result<(), ExpandError> {
        self.rest.next();
        loop {
            match self.rest.next() {
                None => return Err(ExpandError::OpenQuote('\'')),
                Some('\'') => return Ok(()),
                Some(c) => text.push_quoted(c),
            }
        }
    }

    /// In double quotes an escape character escapes `"`, `$` and itself, and is literal otherwise.
    fn double_quoted(&mut self, text: &mut Text) -> Result<(), ExpandError> {
        self.rest.next();
        let escape = self.expander.escape;
        loop {
            match self.peek() {
                None => return Err(ExpandError::OpenQuote('"')),
                Some('"') => {
                    self.rest.next();
                    return Ok(());
                }
                Some('$') => self.dollar()?.chars().for_each(|c| text.push_quoted(c)),
                Some(c) if c == escape => {
                    self.rest.next();
                    match self.peek() {
                        Some(special) if special == '"' || special == '$' || special == escape => {
                            if self.escapes == Escapes::Keep {
                                text.push_quoted(escape);
                            }
                            self.rest.next();
                            text.push_quoted(special);
                        }
                        _ => text.push_quoted(escape),
                    }
                }
                Some(c) => {
                    self.rest.next();
                    text.push_quoted(c);
                }
            }
        }
    }

    /// What stands behind a `$`.
    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        let value = if self.take('{') {
            if self.depth == MAX_NESTING {
                return Err(ExpandError::TooDeep);
            }
            self.depth += 1;
            let value = self.braced()?;
            self.depth -= 1;
            value
        } else {
            let name = self.name();
            if name.is_empty() { "$".to_owned() } else { self.value(&name).unwrap_or_default() }
        };
        self.produced = self.produced.saturating_add(value.len());
        if self.produced > MAX_EXPANSION_BYTES {
            return Err(ExpandError::TooLong);
        }
        Ok(value)
    }

    /// The name that comes next: letters, digits and `_`; or digits only; or one special character.
    fn name(&mut self) -> String {
        let rest = self.rest.as_str();
        let length = match rest.chars().next() {
            Some('0'..='9') => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => rest
                .find(|c: char| !(c.is_alphabetic() || c.is_ascii_digit() || c == '_'))
                .unwrap_or(rest.len()),
        };
        let (name, rest) = rest.split_at(length);
        self.rest = rest.chars();
        name.to_owned()
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = (self.env)(name);
        let names = match value {
            Some(_) => &mut self.names.matched,
            None => &mut self.names.unmatched,
        };
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
        value
    }

    /// The rest of `${…}` behind its brace.
    fn braced(&mut self) -> Result<String, ExpandError> {
        match self.peek() {
            None => return Err(ExpandError::Missing('}')),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.rest.next() {
            None => Err(ExpandError::Missing('}')),
            Some('}') => Ok(self.value(&name).unwrap_or_default()),
            Some(_) if name.is_empty() => Err(ExpandError::BadSubstitution),
            Some(':') => match self.rest.next() {
                None => Err(ExpandError::Missing('}')),
                Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, Null::IsUnset),
                Some(c) => Err(ExpandError::UnsupportedModifier(format!(":{c}"))),
            },
            Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, Null::IsSet),
            Some(c @ ('#' | '%')) => self.trimmed(&name, c),
            Some('/') => self.replaced(&name),
            Some(c) => Err(ExpandError::UnsupportedModifier(c.to_string())),
        }
    }

    /// `${name-word}`, `${name+word}`, `${name?message}`, and the same with a colon.
    fn conditional(&mut self, name: &str, modifier: char, null: Null) -> Result<String, ExpandError> {
        let word = self.word(Escapes::Remove, '}')?;
        let value = self.value(name);
        let was_set = value.is_some();
        let value = value.filter(|value| null == Null::IsSet || !value.is_empty());
        match (modifier, value) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let message = match (word.as_str(), was_set) {
                    ("", true) => "is not allowed to be empty".to_owned(),
                    ("", false) => "is not allowed to be unset".to_owned(),
                    _ => word,
                };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// `${name#pattern}` and `${name%pattern}`; doubled, they remove the longest match.
    fn trimmed(&mut self, name: &str, modifier: char) -> Result<String, ExpandError> {
        let pattern = self.word(Escapes::Keep, '}')?;
        let value = self.value(name).unwrap_or_default();
        let (pattern, longest) = match pattern.strip_prefix(modifier) {
            Some(pattern) => (pattern, true),
            None => (pattern.as_str(), false),
        };
        let pattern = Pattern::parse(pattern, self.expander.escape)?;
        Ok(if modifier == '#' {
            pattern.without_prefix(&value, longest)
        } else {
            pattern.without_suffix(&value, longest)
        })
    }

    /// `${name/pattern/replacement}`; with `//` each match is replaced.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.take('/');
        let pattern = self.word(Escapes::Keep, '/')?;
        let replacement = self.word(Escapes::Keep, '}')?;
        let value = self.value(name).unwrap_or_default();
        let pattern = Pattern::parse(&pattern, self.expander.escape)?;
        pattern.replace(&value, &replacement, all)
    }

    /// Expands the part of a substitution up to `stop`.
    fn word(&mut self, escapes: Escapes, stop: char) -> Result<String, ExpandError> {
        let outer = std::mem::replace(&mut self.escapes, escapes);
        let word = self.until(Some(stop))?;
        self.escapes = outer;
        Ok(word.whole)
    }
}

/// Whether an empty value counts as set: the colon in `${name:-word}` says that it does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Null {
    IsSet,
    IsUnset,
}
