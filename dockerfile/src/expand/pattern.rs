//! Patterns in substitutions: `*` is any run of characters, `?` any one, all else is literal.
//!
//! A pattern is a list of chunks of fixed length with stars between them, so the shortest match is
//! found by taking each chunk as early as it comes, and the longest by taking the last one as late
//! as it comes; nothing backtracks. Brackets are literal here.

use super::{ExpandError, MAX_EXPANSION_BYTES, MAX_PATTERN_CHARS};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Atom {
    Literal(char),
    Any,
}

impl Atom {
    fn matches(self, c: char) -> bool {
        self == Self::Any || self == Self::Literal(c)
    }
}

/// A parsed pattern: chunks, with a star between each two; never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    chunks: Vec<Vec<Atom>>,
}

impl Pattern {
    /// Reads a pattern in which escapes are still in place.
    pub(super) fn parse(text: &str, escape: char) -> Result<Self, ExpandError> {
        let invalid = |reason| ExpandError::InvalidPattern { pattern: text.to_owned(), reason };
        if text.chars().nth(MAX_PATTERN_CHARS).is_some() {
            let pattern = text.chars().take(40).collect();
            return Err(ExpandError::InvalidPattern { pattern, reason: "it is too long" });
        }
        let mut chunks = vec![Vec::new()];
        let mut chunk = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let atom = match c {
                '*' => {
                    chunks.pop();
                    chunks.push(std::mem::take(&mut chunk));
                    chunks.push(Vec::new());
                    continue;
                }
                '?' => Atom::Any,
                // A value that is used as a pattern escapes with a backslash whatever the file does.
                c if c == escape || c == '\\' => match chars.next() {
                    Some(escaped) if matches!(escaped, '*' | '?' | '}' | '/') || escaped == c => {
                        Atom::Literal(escaped)
                    }
                    Some(_) => return Err(invalid("it escapes an ordinary character")),
                    None => return Err(invalid("it ends with an escape character")),
                },
                c => Atom::Literal(c),
            };
            chunk.push(atom);
        }
        chunks.pop();
        chunks.push(chunk);
        Ok(Self { chunks })
    }

    /// The value without its shortest or longest prefix that matches.
    pub(super) fn without_prefix(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        match self.prefix(&chars, longest) {
            Some(end) => chars[end..].iter().collect(),
            None => value.to_owned(),
        }
    }

    /// The value without its shortest or longest suffix that matches.
    pub(super) fn without_suffix(&self, value: &str, longest: bool) -> String {
        let mut chars: Vec<char> = value.chars().rev().collect();
        let reversed = |chunk: &Vec<Atom>| chunk.iter().rev().copied().collect();
        let mirrored = Self { chunks: self.chunks.iter().rev().map(reversed).collect() };
        match mirrored.prefix(&chars, longest) {
            Some(end) => {
                chars.drain(..end);
                chars.iter().rev().collect()
            }
            None => value.to_owned(),
        }
    }

    /// The value with the first match, or each match, replaced. Matches are as long as they can be.
    pub(super) fn replace(&self, value: &str, replacement: &str, all: bool) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while let Some((start, end)) = self.find(&chars, at) {
            out.extend(&chars[at..start]);
            out.push_str(replacement);
            if out.len() > MAX_EXPANSION_BYTES {
                return Err(ExpandError::TooLong);
            }
            at = end;
            if start == end {
                // An empty match makes no progress by itself.
                out.extend(chars.get(at));
                at += 1;
            }
            if !all || at > chars.len() || (at == chars.len() && start < end) {
                break;
            }
        }
        out.extend(chars.get(at..).unwrap_or_default());
        Ok(out)
    }

    /// The end of the match at the start of `chars`.
    fn prefix(&self, chars: &[char], longest: bool) -> Option<usize> {
        let (first, rest) = self.chunks.split_first()?;
        matches_at(first, chars, 0).then_some(())?;
        behind_stars(rest, chars, first.len(), longest)
    }

    /// The first match from `from` on, as long as it can be.
    fn find(&self, chars: &[char], from: usize) -> Option<(usize, usize)> {
        let (first, rest) = self.chunks.split_first()?;
        // If what follows is not found behind the earliest place, it is not behind a later one.
        let start = find(first, chars, from)?;
        Some((start, behind_stars(rest, chars, start + first.len(), true)?))
    }
}

/// The end of a match of `chunks`, each with a star before it.
fn behind_stars(chunks: &[Vec<Atom>], chars: &[char], from: usize, longest: bool) -> Option<usize> {
    let Some((last, middle)) = chunks.split_last() else {
        return Some(from);
    };
    let mut at = from;
    for chunk in middle {
        at = find(chunk, chars, at)? + chunk.len();
    }
    let start = if longest { find_last(last, chars, at)? } else { find(last, chars, at)? };
    Some(start + last.len())
}

fn matches_at(chunk: &[Atom], chars: &[char], at: usize) -> bool {
    chars
        .get(at..at + chunk.len())
        .is_some_and(|chars| chunk.iter().zip(chars).all(|(atom, &c)| atom.matches(c)))
}

fn find(chunk: &[Atom], chars: &[char], from: usize) -> Option<usize> {
    let last = chars.len().checked_sub(chunk.len())?;
    (from..=last).find(|&at| matches_at(chunk, chars, at))
}

fn find_last(chunk: &[Atom], chars: &[char], from: usize) -> Option<usize> {
    let last = chars.len().checked_sub(chunk.len())?;
    (from..=last).rev().find(|&at| matches_at(chunk, chars, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, '\\').unwrap()
    }

    #[test]
    fn shortest_and_longest_prefix_and_suffix() {
        assert_eq!(pattern("*/").without_prefix("a/b/c", false), "b/c");
        assert_eq!(pattern("*/").without_prefix("a/b/c", true), "c");
        assert_eq!(pattern(".*").without_suffix("a.tar.gz", false), "a.tar");
        assert_eq!(pattern(".*").without_suffix("a.tar.gz", true), "a");
        assert_eq!(pattern("").without_prefix("abc", true), "abc");
        assert_eq!(pattern("*").without_suffix("abc", true), "");
        assert_eq!(pattern("?é").without_prefix("xéy", false), "y");
        assert_eq!(pattern("b").without_prefix("abc", false), "abc");
    }

    #[test]
    fn replacement_of_the_first_and_of_all_matches() {
        let replace = |p: &str, all| pattern(p).replace("a-b-c", "+", all).unwrap();
        assert_eq!(replace("-", false), "a+b-c");
        assert_eq!(replace("-", true), "a+b+c");
        assert_eq!(replace("-*", true), "a+");
        assert_eq!(replace("*b", true), "+-c");
        assert_eq!(replace("x", true), "a-b-c");
        assert_eq!(replace("", true), "+a+-+b+-+c+");
        assert_eq!(replace("", false), "+a-b-c");
        assert_eq!(replace("*", true), "+");
    }

    #[test]
    fn escapes_make_special_characters_literal() {
        assert_eq!(pattern(r"\*\?\\").without_prefix(r"*?\x", false), "x");
        assert!(Pattern::parse(r"\a", '\\').is_err());
        assert!(Pattern::parse(r"a\", '\\').is_err());
        assert!(Pattern::parse(&"a".repeat(5000), '\\').is_err());
    }

    #[test]
    fn replacement_cannot_grow_without_limit() {
        let value = "a".repeat(1 << 16);
        assert_eq!(pattern("a").replace(&value, &value, true), Err(ExpandError::TooLong));
    }
}
