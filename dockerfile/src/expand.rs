//! Variable expansion: what `$name`, `${name:-word}` and their relatives stand for.
//!
//! The rules are those of the POSIX shell as far as Dockerfiles have them, with the reference
//! implementation's answers in the corners. An expansion reports which names it asked for, because
//! checks and cache keys depend on exactly those.
//!
//! Hostile input costs at most linear time in the size of its result, which is bounded, and nesting
//! is bounded too. Deliberately absent: assignment (`${a:=b}`), commands and arithmetic.

mod pattern;
mod scan;

use std::collections::BTreeSet;

use crate::diagnostic::{Error, Span};

/// A longer result is an error: `ENV a=$a$a` doubles with each line.
pub const MAX_EXPANSION_BYTES: usize = 1 << 20;
/// `${a:-${b:-…}}` may nest this deep.
pub const MAX_NESTING: u32 = 50;
/// A longer pattern in `${a#pattern}` and its relatives is an error.
pub const MAX_PATTERN_CHARS: usize = 4096;

/// The environment: the value of a name, or nothing when it is not set.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Expands words under an escape character.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expander {
    /// The escape character of the Dockerfile.
    pub escape: char,
    /// What quotes mean.
    pub quotes: Quotes,
}

/// What quotes mean in a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quotes {
    /// They quote, and are removed.
    Remove,
    /// They are ordinary characters, as in a here-document.
    Literal,
}

/// An expanded word.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expansion {
    /// The result.
    pub text: String,
    /// The names that were asked for and are set.
    pub matched: BTreeSet<String>,
    /// The names that were asked for and are not set.
    pub unmatched: BTreeSet<String>,
}

impl Expander {
    /// Quotes are removed.
    pub const fn new(escape: char) -> Self {
        Self { escape, quotes: Quotes::Remove }
    }

    /// Quotes are kept, as the content of a here-document wants it.
    pub const fn for_heredoc(escape: char) -> Self {
        Self { escape, quotes: Quotes::Literal }
    }

    /// Expands a text into one word, blanks included.
    pub fn process_word(&self, word: &str, env: &Env<'_>) -> Result<Expansion, ExpandError> {
        let (text, names) = scan::expand(*self, word, env)?;
        Ok(Expansion { text: text.whole, matched: names.matched, unmatched: names.unmatched })
    }

    /// Expands a text, then splits the result at blanks that are neither quoted nor escaped.
    pub fn process_words(&self, word: &str, env: &Env<'_>) -> Result<Vec<String>, ExpandError> {
        let (text, _) = scan::expand(*self, word, env)?;
        Ok(text.into_words())
    }
}

/// Why a text could not be expanded.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpandError {
    /// A quote is never closed.
    #[error("`{0}` is not closed")]
    OpenQuote(char),
    /// `${` is never closed, or `/` is missing in a replacement.
    #[error("missing `{0}` in a substitution")]
    Missing(char),
    /// No name can start here.
    #[error("bad substitution")]
    BadSubstitution,
    /// A modifier that does not exist.
    #[error("unsupported modifier `{0}` in a substitution")]
    UnsupportedModifier(String),
    /// `${name?message}` on a name that is not set, or with `:?` empty.
    #[error("{name}: {message}")]
    Required {
        /// The name.
        name: String,
        /// What the author wants to be said, or a message of ours.
        message: String,
    },
    /// A pattern that means nothing.
    #[error("invalid pattern `{pattern}` in a substitution: {reason}")]
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More nesting than a person writes.
    #[error("substitutions are nested more than {MAX_NESTING} deep")]
    TooDeep,
    /// A result larger than any environment can hold.
    #[error("expansion is longer than {MAX_EXPANSION_BYTES} bytes")]
    TooLong,
}

impl ExpandError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OpenQuote(_) => "close the quote, or escape it",
            Self::Missing(_) => "close the substitution, or escape its `$`",
            Self::BadSubstitution => "write `${name}`, or escape the `$`",
            Self::UnsupportedModifier(_) => "the modifiers are :- - :+ + :? ? # ## % %% / and //",
            Self::Required { .. } => "give the variable a value, for example with `--build-arg`",
            Self::InvalidPattern { .. } => "`\\` may stand before `*`, `?`, `\\`, `/` and `}` only",
            Self::TooDeep => "use a variable for the inner part",
            Self::TooLong => "keep large data in files",
        }
    }

    /// The error at a place in a Dockerfile.
    pub fn at(&self, span: Span) -> Error {
        Error::new(span, self.to_string()).with_hint(self.hint())
    }
}

#[cfg(test)]
mod tests;
