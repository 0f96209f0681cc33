//! Wildcards and pattern lists, as a Dockerfile means them.
//!
//! Two kinds, with one matcher. A [`Glob`] is one component of a `COPY` source and follows Go's `filepath.Match`:
//! `*`, `?`, `[a-z]`, `[^a]`, and a backslash that takes the next character as it stands. A [`Patterns`] list follows
//! `.dockerignore`: whole paths, `**` over any number of directories, `!` for exceptions, the last match wins, and
//! what matches a directory holds for everything in it.
//!
//! A pattern is compiled to a row of tokens and run as a set of states, so that hostile patterns cost the product of
//! the two lengths and not more.

use crate::error::Error;
use crate::path;

/// A wildcard over one name.
#[derive(Clone, Debug)]
pub struct Glob {
    tokens: Vec<Token>,
}

impl Glob {
    /// Compiles one component.
    pub fn new(pattern: &[u8]) -> Result<Self, Error> {
        Ok(Self { tokens: compile(pattern, Stars::One)? })
    }

    /// Whether it matches all of `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        let mut run = Run::new(&self.tokens);
        run.feed(name);
        run.accepts()
    }
}

/// Whether `part` holds a wildcard that no backslash takes back.
pub fn has_wildcard(part: &[u8]) -> bool {
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// `part` without the backslashes that take a character as it stands.
pub fn unescape(part: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    plain
}

/// A list of patterns over whole paths.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    tokens: Vec<Token>,
    exception: bool,
}

/// Which patterns matched a directory: they hold for everything in it.
#[derive(Clone, Debug, Default)]
pub struct Inherited(Vec<bool>);

/// What a list says of a path.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether the path is matched.
    pub matched: bool,
    /// To be handed on to the entries of this directory.
    pub inherited: Inherited,
}

impl Patterns {
    /// Compiles a list. Empty patterns mean nothing; `!` alone is an error.
    pub fn new<P: AsRef<[u8]>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        let mut compiled = Vec::new();
        for written in patterns {
            let pattern = written.as_ref().trim_ascii();
            if pattern.is_empty() {
                continue;
            }
            let (exception, pattern) = match pattern.strip_prefix(b"!") {
                Some([]) => return Err(invalid(pattern, "an exception needs a pattern after the `!`")),
                Some(rest) => (true, rest),
                None => (false, pattern),
            };
            let tokens = compile(&clean(pattern), Stars::Two)?;
            compiled.push(Pattern { tokens, exception });
        }
        Ok(Self { patterns: compiled })
    }

    /// Whether it holds no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path inside a matched directory may be taken out again.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// What the list says of the tree path `path`, whose parent gave `parent`; for a path at the top that is the default.
    pub fn matches(&self, path: &[u8], parent: &Inherited) -> Verdict {
        let mut matched = false;
        let mut inherited = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut hit = parent.0.get(index).copied().unwrap_or(false);
            // A pattern that cannot change the verdict is not run; a subdirectory asks for itself.
            if !hit && pattern.exception == matched {
                let mut run = Run::new(&pattern.tokens);
                run.feed(path);
                hit = run.accepts();
            }
            inherited[index] = hit;
            if hit {
                matched = !pattern.exception;
            }
        }
        Verdict { matched, inherited: Inherited(inherited) }
    }

    /// Whether a path below the directory `path` may match though `path` does not.
    pub fn may_match_below(&self, path: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| {
            let mut run = Run::new(&pattern.tokens);
            run.feed(path);
            run.feed(b"/");
            run.is_alive()
        })
    }
}

/// How `**` is read.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Stars {
    /// As `*`.
    One,
    /// Over any number of directories.
    Two,
}

#[derive(Clone, Debug)]
enum Token {
    Character(u32),
    /// Any one character but a slash.
    Any,
    /// Any characters but slashes.
    Star,
    /// Any characters.
    DeepStar,
    /// Nothing, or any characters up to and with a slash. Its body is the next token.
    Directories,
    /// The body of [`Token::Directories`].
    DirectoriesBody,
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
}

const SLASH: u32 = b'/' as u32;

fn invalid(pattern: &[u8], reason: &'static str) -> Error {
    Error::InvalidPattern { pattern: path::text(pattern), reason }
}

/// A pattern's path without `.`, `..` and doubled slashes; a leading slash stays, and then matches nothing.
fn clean(pattern: &[u8]) -> Vec<u8> {
    let mut cleaned = path::clean(pattern);
    if pattern.first() == Some(&b'/') {
        cleaned.insert(0, b'/');
    }
    if cleaned.is_empty() {
        cleaned.push(b'.');
    }
    cleaned
}

/// The characters of a byte string; a byte that is no UTF-8 is a character of its own.
fn characters(bytes: &[u8]) -> Vec<u32> {
    let mut characters = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        characters.extend(chunk.valid().chars().map(u32::from));
        characters.extend(chunk.invalid().iter().map(|byte| 0x11_0000 + u32::from(*byte)));
    }
    characters
}

fn compile(pattern: &[u8], stars: Stars) -> Result<Vec<Token>, Error> {
    let text = characters(pattern);
    let is = |at: usize, byte: u8| text.get(at) == Some(&u32::from(byte));
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(character) = text.get(at).copied() {
        at += 1;
        if character == u32::from(b'*') && stars == Stars::Two && is(at, b'*') {
            while is(at, b'*') {
                at += 1;
            }
            if is(at, b'/') {
                at += 1;
                tokens.extend([Token::Directories, Token::DirectoriesBody]);
            } else {
                tokens.push(Token::DeepStar);
            }
        } else if character == u32::from(b'*') {
            if !matches!(tokens.last(), Some(Token::Star)) {
                tokens.push(Token::Star);
            }
        } else if character == u32::from(b'?') {
            tokens.push(Token::Any);
        } else if character == u32::from(b'[') {
            let (class, next) = class(pattern, &text, at)?;
            tokens.push(class);
            at = next;
        } else if character == u32::from(b'\\') {
            let escaped = text.get(at).ok_or_else(|| invalid(pattern, "nothing follows its backslash"))?;
            tokens.push(Token::Character(*escaped));
            at += 1;
        } else {
            tokens.push(Token::Character(character));
        }
    }
    Ok(tokens)
}

/// A class from behind its bracket, and where it ends.
fn class(pattern: &[u8], text: &[u32], mut at: usize) -> Result<(Token, usize), Error> {
    let open = || invalid(pattern, "its bracket is not closed");
    let negated = text.get(at) == Some(&u32::from(b'^'));
    if negated {
        at += 1;
    }
    let mut ranges = Vec::new();
    loop {
        if text.get(at) == Some(&u32::from(b']')) && !ranges.is_empty() {
            return Ok((Token::Class { negated, ranges }, at + 1));
        }
        let (low, next) = class_character(pattern, text, at)?;
        at = next;
        let mut high = low;
        if text.get(at).ok_or_else(open)? == &u32::from(b'-') {
            (high, at) = class_character(pattern, text, at + 1)?;
        }
        ranges.push((low, high));
    }
}

fn class_character(pattern: &[u8], text: &[u32], at: usize) -> Result<(u32, usize), Error> {
    let open = || invalid(pattern, "its bracket is not closed");
    let character = *text.get(at).ok_or_else(open)?;
    if character == u32::from(b'-') || character == u32::from(b']') {
        return Err(invalid(pattern, "a bracket holds a range without a start"));
    }
    if character == u32::from(b'\\') {
        return Ok((*text.get(at + 1).ok_or_else(open)?, at + 2));
    }
    Ok((character, at + 1))
}

/// A pattern on its way through a text: all states it may be in.
struct Run<'a> {
    tokens: &'a [Token],
    states: Vec<bool>,
    /// Those before the character that is being fed.
    before: Vec<bool>,
}

impl<'a> Run<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let mut run =
            Self { tokens, states: vec![false; tokens.len() + 1], before: vec![false; tokens.len() + 1] };
        run.enter(0);
        run
    }

    /// Marks a state and those that it reaches without a character.
    fn enter(&mut self, mut state: usize) {
        loop {
            self.states[state] = true;
            state += match self.tokens.get(state) {
                Some(Token::Star | Token::DeepStar) => 1,
                Some(Token::Directories) => 2,
                Some(Token::Character(_) | Token::Any | Token::DirectoriesBody | Token::Class { .. })
                | None => return,
            };
        }
    }

    fn feed(&mut self, text: &[u8]) {
        for character in characters(text) {
            std::mem::swap(&mut self.states, &mut self.before);
            self.states.fill(false);
            for (state, token) in self.tokens.iter().enumerate() {
                if !self.before[state] {
                    continue;
                }
                match token {
                    Token::Character(own) if *own == character => self.enter(state + 1),
                    Token::Any if character != SLASH => self.enter(state + 1),
                    Token::Star if character != SLASH => self.enter(state),
                    Token::DeepStar => self.enter(state),
                    Token::Directories | Token::DirectoriesBody => {
                        let body = state + usize::from(matches!(token, Token::Directories));
                        self.enter(body);
                        if character == SLASH {
                            self.enter(body + 1);
                        }
                    }
                    Token::Class { negated, ranges } => {
                        let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                        if inside != *negated && character != SLASH {
                            self.enter(state + 1);
                        }
                    }
                    Token::Character(_) | Token::Any | Token::Star => {}
                }
            }
        }
    }

    fn accepts(&self) -> bool {
        self.states[self.tokens.len()]
    }

    fn is_alive(&self) -> bool {
        self.states.iter().any(|state| *state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, name: &str) -> bool {
        Glob::new(pattern.as_bytes()).unwrap().matches(name.as_bytes())
    }

    fn listed(patterns: &[&str], path: &str) -> bool {
        let patterns = Patterns::new(patterns).unwrap();
        let mut verdict = Verdict { matched: false, inherited: Inherited::default() };
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            verdict = patterns.matches(&path.as_bytes()[..end], &verdict.inherited);
        }
        verdict.matched
    }

    #[test]
    fn a_glob_matches_as_go_does() {
        assert!(glob("*.txt", ".txt") && glob("a*b*c", "axxbyyc") && glob("?", "ä"));
        assert!(glob("[[]xyz]", "[xyz]") && glob("[^a-c]", "d") && glob("a\\*b", "a*b"));
        assert!(!glob("*.txt", "a.txt~") && !glob("[^a-c]", "b") && !glob("?", "ab") && !glob("", "a"));
        assert!(glob("**", "anything"), "two stars are one");
    }

    #[test]
    fn unfinished_globs_are_refused() {
        for pattern in ["[", "[a", "[]a]", "[-a]", "a\\", "[a-"] {
            assert!(Glob::new(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_list_holds_for_directories_and_all_in_them_until_an_exception() {
        assert!(listed(&["a"], "a/b/c") && !listed(&["a"], "b/a"));
        assert!(listed(&["**/b"], "b") && listed(&["**/b"], "x/y/b") && listed(&["a/**"], "a/x/y"));
        assert!(!listed(&["a", "!a/b"], "a/b") && listed(&["a", "!a/b", "a/b/c"], "a/b/c"));
        assert!(!listed(&["*.go"], "x/y.go") && listed(&["*/*.go"], "x/y.go"));
        assert!(listed(&["a/**/z"], "a/z") && listed(&["a/**/z"], "a/b/c/z"));
    }

    #[test]
    fn a_list_knows_where_it_cannot_match() {
        let patterns = Patterns::new(["usr/*/x", "**/deep"]).unwrap();
        assert!(patterns.may_match_below(b"anything"));
        let patterns = Patterns::new(["usr/*/x"]).unwrap();
        assert!(patterns.may_match_below(b"usr") && patterns.may_match_below(b"usr/lib"));
        assert!(!patterns.may_match_below(b"etc") && !patterns.may_match_below(b"usr/lib/y"));
    }

    #[test]
    fn a_hostile_pattern_is_answered_at_once() {
        let pattern = format!("{}x", "**/*a".repeat(200));
        assert!(!listed(&[&pattern], &"a".repeat(200)));
    }
}
