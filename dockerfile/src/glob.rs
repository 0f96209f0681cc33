//! Patterns over slash-separated paths.
//!
//! [`Glob`] has the semantics of Go's `filepath.Match`, which COPY and ADD sources use: `*`, `?`,
//! classes and escapes, none of which but a class crosses a slash. [`PathPattern`] adds `**`, as
//! `.dockerignore`, `--exclude` and `--parents` have it.
//!
//! Names are bytes, because names on Linux are; what is not UTF-8 in them counts byte by byte.
//! A match costs at most the length of the pattern times that of the path.

mod matcher;

use matcher::{DoubleStar, Mode, Token};

/// A longer pattern is an error.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// A pattern that means nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("bad pattern `{pattern}`: {reason}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A pattern without `**`, matched against a whole path.
#[derive(Clone, Debug)]
pub struct Glob {
    tokens: Vec<Token>,
}

impl Glob {
    /// Reads a pattern. `**` is the same as `*`.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        Ok(Self { tokens: matcher::parse(pattern, DoubleStar::IsStar)? })
    }

    /// Whether the pattern matches the whole of a path.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        matcher::run(&self.tokens, path.as_ref(), Mode::Whole)
    }

    /// Whether some path below a directory can match; says when a walk need not enter it.
    pub fn may_match_below(&self, directory: impl AsRef<[u8]>) -> bool {
        matcher::run(&self.tokens, &with_slash(directory.as_ref()), Mode::Prefix)
    }
}

/// Whether a COPY source has a wildcard that is not escaped.
pub fn has_wildcards(pattern: &str) -> bool {
    let mut bytes = pattern.bytes();
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

/// A pattern with `**`, matched against a whole path.
///
/// `**` and a slash behind it match any number of directories, none included; at the end it
/// matches everything. A pattern of `**` and plain text matches paths that end in the text.
#[derive(Clone, Debug)]
pub struct PathPattern {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// No wildcard at all.
    Exact(Vec<u8>),
    /// `**` and plain text that does not start with a slash.
    Suffix(Vec<u8>),
    Tokens(Vec<Token>),
}

impl PathPattern {
    /// Reads a pattern, which should be clean already: no `.`, `..`, or doubled slashes.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let tokens = matcher::parse(pattern, DoubleStar::IsDirectories)?;
        let plain = |text: &str| !text.contains(['*', '?', '[', ']', '\\']);
        let kind = match pattern.strip_prefix("**") {
            Some(rest) if !rest.starts_with('/') && plain(rest) => Kind::Suffix(rest.into()),
            None if plain(pattern) => Kind::Exact(pattern.into()),
            _ => Kind::Tokens(tokens),
        };
        Ok(Self { kind })
    }

    /// Whether the pattern matches the whole of a path.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        match &self.kind {
            Kind::Exact(text) => path == text,
            Kind::Suffix(text) => path.ends_with(text),
            Kind::Tokens(tokens) => matcher::run(tokens, path, Mode::Whole),
        }
    }

    /// Whether some path below a directory can match.
    pub fn may_match_below(&self, directory: impl AsRef<[u8]>) -> bool {
        let prefix = with_slash(directory.as_ref());
        match &self.kind {
            Kind::Exact(text) => text.starts_with(&prefix),
            Kind::Suffix(_) => true,
            Kind::Tokens(tokens) => matcher::run(tokens, &prefix, Mode::Prefix),
        }
    }
}

/// The prefix that all paths below a directory have; the root has none.
fn with_slash(directory: &[u8]) -> Vec<u8> {
    let mut prefix = directory.to_vec();
    if !prefix.is_empty() && !prefix.ends_with(b"/") {
        prefix.push(b'/');
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(path)
    }

    fn path(pattern: &str, path: &str) -> bool {
        PathPattern::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn star_and_question_mark_stop_at_slashes() {
        assert!(glob("*.go", "a.go") && !glob("*.go", "d/a.go"));
        assert!(glob("d/*/?", "d/xy/é") && !glob("?", "/"));
        assert!(glob("a*b*c", "aXbYbZc") && !glob("a*b*c", "aXbY"));
        assert!(glob("**", "abc") && !glob("**", "a/b"));
    }

    #[test]
    fn classes_and_escapes() {
        assert!(glob("[a-c]x", "bx") && !glob("[a-c]x", "dx"));
        assert!(glob("[^a-c]x", "dx") && !glob("[^a-c]x", "ax"));
        assert!(glob(r"[\]\-]", "-") && glob(r"[\]\-]", "]"));
        assert!(glob(r"\*\[", "*[") && !glob(r"\*", "x"));
        assert!(glob("a]", "a]"));
    }

    #[test]
    fn bad_patterns_are_errors() {
        for bad in ["[", "[]", "[]a]", "[-]", "[a-]", "[a", "[^", "a\\", "[a-b-c]", "[\\"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
            assert!(PathPattern::new(bad).is_err(), "{bad}");
        }
        assert!(Glob::new(&"a".repeat(MAX_PATTERN_BYTES + 1)).is_err());
    }

    #[test]
    fn double_star_matches_any_number_of_directories() {
        for (pattern, text) in
            [("**/x", "x"), ("**/x", "a/b/x"), ("a/**/x", "a/x"), ("a/**/x", "a/b/c/x"), ("a/**", "a/b/c")]
        {
            assert!(path(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("**/x", "ax"), ("a/**", "a"), ("a/**/x", "ax"), ("a**b", "axb")] {
            assert!(!path(pattern, text), "{pattern} {text}");
        }
        assert!(path("**x", "a/bx") && !path("**x*", "bx1") && path("**", "anything/at/all"));
    }

    #[test]
    fn names_that_are_not_utf8_match_byte_by_byte() {
        assert!(Glob::new("a?c").unwrap().matches(b"a\xffc"));
        assert!(Glob::new("a??").unwrap().matches(b"a\xff\xfe"));
        assert!(!Glob::new("??").unwrap().matches("é"));
        assert!(!Glob::new("*??").unwrap().matches("é"));
    }

    #[test]
    fn directory_that_cannot_hold_a_match_is_known() {
        let below = |pattern: &str, dir: &str| PathPattern::new(pattern).unwrap().may_match_below(dir);
        assert!(below("a/b/c", "a") && below("a/b/c", "a/b") && !below("a/b/c", "a/b/c"));
        assert!(!below("a/b/c", "ab") && !below("a/*.c", "b") && below("*/x", "q"));
        assert!(below("**/x", "any/where") && below("a/**/x", "a/z") && !below("a/**/x", "b"));
        assert!(below("a*", "") && !below("a*", "ab") && below("*.c", ""));
        assert!(Glob::new("src/*/x").unwrap().may_match_below("src/y"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = format!("{}b", "*a".repeat(1000));
        let text = "a".repeat(4000);
        let started = std::time::Instant::now();
        assert!(!glob(&pattern, &text));
        assert!(!path(&format!("**/{pattern}[x]"), &text));
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn wildcards_count_only_when_not_escaped() {
        assert!(has_wildcards("a*") && has_wildcards("[a]") && has_wildcards(r"\\?"));
        assert!(!has_wildcards(r"a\*") && !has_wildcards("a]") && !has_wildcards("a\\"));
    }
}
