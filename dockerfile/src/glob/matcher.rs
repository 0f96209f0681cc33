//! The engine behind the patterns: tokens, and a search with an explicit stack.
//!
//! Only wildcards of variable length branch. After a number of steps that no ordinary match needs,
//! the search starts to remember where each of them was tried, which bounds its cost.

use super::{BadPattern, MAX_PATTERN_BYTES};

/// A piece of a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token {
    Literal(Vec<u8>),
    /// `?`: one character but a slash.
    One,
    /// `[…]`: one character, slashes included, as in Go.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `*`: any run of characters but slashes.
    Run,
    /// `**/`: nothing, or anything that ends in a slash.
    Directories,
    /// `**` at the end: anything.
    Rest,
}

/// What `**` means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DoubleStar {
    IsStar,
    IsDirectories,
}

/// What a search is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// The pattern matches the whole text.
    Whole,
    /// The pattern matches some longer text that starts with the text.
    Prefix,
}

/// Reads a pattern.
pub(super) fn parse(pattern: &str, double_star: DoubleStar) -> Result<Vec<Token>, BadPattern> {
    let bad = |reason| BadPattern { pattern: pattern.chars().take(80).collect(), reason };
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(bad("it is too long"));
    }
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' if double_star == DoubleStar::IsDirectories && chars.as_str().starts_with('*') => {
                let rest = &chars.as_str()[1..];
                let rest = rest.strip_prefix('/').unwrap_or(rest);
                chars = rest.chars();
                tokens.push(if rest.is_empty() { Token::Rest } else { Token::Directories });
            }
            '*' => {
                if tokens.last() != Some(&Token::Run) {
                    tokens.push(Token::Run);
                }
            }
            '?' => tokens.push(Token::One),
            '[' => tokens.push(class(&mut chars).map_err(bad)?),
            '\\' => {
                let escaped = chars.next().ok_or_else(|| bad("it ends with a backslash"))?;
                push_literal(&mut tokens, escaped);
            }
            c => push_literal(&mut tokens, c),
        }
    }
    Ok(tokens)
}

fn push_literal(tokens: &mut Vec<Token>, c: char) {
    let mut buffer = [0; 4];
    let bytes = c.encode_utf8(&mut buffer).as_bytes();
    match tokens.last_mut() {
        Some(Token::Literal(text)) => text.extend_from_slice(bytes),
        _ => tokens.push(Token::Literal(bytes.to_vec())),
    }
}

/// The rest of a class behind its bracket.
fn class(chars: &mut std::str::Chars<'_>) -> Result<Token, &'static str> {
    let negated = take(chars, '^');
    let mut ranges = Vec::new();
    while ranges.is_empty() || !take(chars, ']') {
        let low = class_char(chars)?;
        let high = if take(chars, '-') { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
    Ok(Token::Class { negated, ranges })
}

fn class_char(chars: &mut std::str::Chars<'_>) -> Result<char, &'static str> {
    const OPEN: &str = "a class is not closed";
    match chars.next().ok_or(OPEN)? {
        '-' | ']' => Err("`-` and `]` must be escaped in a class"),
        '\\' => chars.next().ok_or(OPEN),
        c => Ok(c),
    }
}

fn take(chars: &mut std::str::Chars<'_>, c: char) -> bool {
    let found = chars.as_str().starts_with(c);
    if found {
        chars.next();
    }
    found
}

/// Searches for a match.
pub(super) fn run(tokens: &[Token], text: &[u8], mode: Mode) -> bool {
    // Most texts that do not match end differently, which is cheaper to see from the end.
    if let (Mode::Whole, Some(Token::Literal(end))) = (mode, tokens.last())
        && !text.ends_with(end)
    {
        return false;
    }
    let mut search = Search { tokens, text, mode, open: vec![(0, 0)], steps: 0, tried: Vec::new() };
    while let Some((token, at)) = search.open.pop() {
        if search.follow(token, at) {
            return true;
        }
    }
    false
}

struct Search<'a> {
    tokens: &'a [Token],
    text: &'a [u8],
    mode: Mode,
    /// Branches that are still to be followed: token and place in the text.
    open: Vec<(usize, usize)>,
    steps: usize,
    /// A bit for each token and place; empty as long as the search is short.
    tried: Vec<u64>,
}

impl Search<'_> {
    /// Follows one branch until it ends. Returns whether it found a match.
    fn follow(&mut self, mut token: usize, mut at: usize) -> bool {
        loop {
            let rest = &self.text[at..];
            if rest.is_empty() && self.mode == Mode::Prefix {
                return token < self.tokens.len();
            }
            let Some(next) = self.tokens.get(token) else {
                return rest.is_empty();
            };
            let length = match next {
                Token::Rest => return true,
                Token::Literal(text) if rest.starts_with(text) => text.len(),
                Token::Literal(text) => return self.mode == Mode::Prefix && text.starts_with(rest),
                Token::One => match first_char(rest) {
                    Some((c, length)) if c != '/' => length,
                    _ => return false,
                },
                Token::Class { negated, ranges } => match first_char(rest) {
                    Some((c, length)) if in_ranges(c, ranges) != *negated => length,
                    _ => return false,
                },
                Token::Run | Token::Directories => {
                    if self.was_tried(token, at) {
                        return false;
                    }
                    if let Some(more) = longer(next, rest) {
                        self.open.push((token, at + more));
                    }
                    0
                }
            };
            at += length;
            token += 1;
        }
    }

    fn was_tried(&mut self, token: usize, at: usize) -> bool {
        const ENOUGH: usize = 1000;
        self.steps += 1;
        if self.steps < ENOUGH {
            return false;
        }
        let width = self.text.len() + 1;
        if self.tried.is_empty() {
            self.tried = vec![0; (self.tokens.len() * width).div_ceil(64)];
        }
        let bit = token * width + at;
        let seen = self.tried[bit / 64] & (1 << (bit % 64)) != 0;
        self.tried[bit / 64] |= 1 << (bit % 64);
        seen
    }
}

fn in_ranges(c: char, ranges: &[(char, char)]) -> bool {
    ranges.iter().any(|&(low, high)| (low..=high).contains(&c))
}

/// How much a wildcard of variable length takes next, if it can take more.
fn longer(token: &Token, rest: &[u8]) -> Option<usize> {
    if *token == Token::Directories {
        return rest.iter().position(|&b| b == b'/').map(|slash| slash + 1);
    }
    first_char(rest).filter(|&(c, _)| c != '/').map(|(_, length)| length)
}

/// The first character and its length; a byte that is not UTF-8 stands for itself.
fn first_char(text: &[u8]) -> Option<(char, usize)> {
    let first = *text.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let head = &text[..text.len().min(4)];
    let valid = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Some(match valid.chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    })
}
