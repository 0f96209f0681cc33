//! `.dockerignore`: which paths of a build context do not take part in a build.
//!
//! Each line is a pattern; a line that starts with `!` takes paths back in. The last pattern that
//! matches a path, or a directory above it, decides. A walk therefore needs to remember of a
//! directory only which pattern decided about it: see [`IgnorePatterns::below`].

use std::path::Path;

use crate::diagnostic::{Error, Span};
use crate::glob::{BadPattern, PathPattern};

/// A larger file is not something that a person wrote.
pub const MAX_IGNORE_BYTES: usize = 4 << 20;

/// The patterns of a `.dockerignore` file.
#[derive(Clone, Debug, Default)]
pub struct IgnorePatterns {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    path: PathPattern,
    effect: Effect,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Effect {
    Ignore,
    TakeBack,
}

/// What the patterns say about a path.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// One more than the index of the pattern that decided; 0 when none did.
    decided_by: usize,
    ignored: bool,
}

impl Verdict {
    /// Whether the path takes no part in the build.
    #[must_use]
    pub fn is_ignored(self) -> bool {
        self.ignored
    }
}

impl IgnorePatterns {
    /// Reads a `.dockerignore` file: comments and blank lines are skipped, a byte order mark too.
    ///
    /// An error points at the line of the file.
    pub fn parse(source: &[u8]) -> Result<Self, Error> {
        if source.len() > MAX_IGNORE_BYTES {
            let message = format!("file is larger than {MAX_IGNORE_BYTES} bytes");
            return Err(Error::new(Span::at(1, 1), message).with_hint("use wildcards"));
        }
        let text = String::from_utf8_lossy(source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source));
        let mut patterns = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            if line.starts_with('#') {
                continue;
            }
            let pattern = Pattern::parse(line).map_err(|error| {
                let end_column = u32::try_from(line.chars().count() + 1).unwrap_or(u32::MAX);
                let span = Span { line: number, column: 1, end_line: number, end_column };
                Error::new(span, error.to_string()).with_hint("escape special characters with `\\`")
            })?;
            patterns.extend(pattern);
        }
        Ok(Self { patterns })
    }

    /// Takes patterns one by one; there are no comments among them. Blank ones are skipped.
    pub fn new<I>(patterns: I) -> Result<Self, BadPattern>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let patterns = patterns.into_iter().filter_map(|line| Pattern::parse(line.as_ref()).transpose());
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path is ignored, by itself or through a directory above it.
    ///
    /// The path is relative to the context and need not be clean. The context itself never is.
    pub fn matches(&self, path: &str) -> bool {
        let path = clean(path);
        if path == "." {
            return false;
        }
        let directories = path.match_indices('/').filter(|&(at, _)| at > 0).map(|(at, _)| &path[..at]);
        let verdict = directories.fold(self.root(), |above, path| self.below(above, path));
        self.below(verdict, &path).is_ignored()
    }

    /// The verdict on the context itself, where a walk starts.
    pub fn root(&self) -> Verdict {
        Verdict::default()
    }

    /// The verdict on an entry of a directory that has a verdict. `path` is the entry's whole path,
    /// relative to the context, with slashes.
    pub fn below(&self, directory: Verdict, path: impl AsRef<[u8]>) -> Verdict {
        let path = path.as_ref();
        let later = &self.patterns[directory.decided_by..];
        match later.iter().rposition(|pattern| pattern.path.matches(path)) {
            Some(at) => Verdict {
                decided_by: directory.decided_by + at + 1,
                ignored: later[at].effect == Effect::Ignore,
            },
            None => directory,
        }
    }

    /// Whether a walk may skip a directory whole: it is ignored, and nothing below is taken back.
    pub fn may_skip(&self, directory: Verdict, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        directory.ignored
            && !self.patterns[directory.decided_by..]
                .iter()
                .any(|p| p.effect == Effect::TakeBack && p.path.may_match_below(path))
    }
}

impl Pattern {
    fn parse(line: &str) -> Result<Option<Self>, BadPattern> {
        let line = line.trim();
        let (pattern, effect) = match line.strip_prefix('!') {
            Some(rest) => (rest.trim(), Effect::TakeBack),
            None => (line, Effect::Ignore),
        };
        if pattern.is_empty() {
            return match effect {
                Effect::Ignore => Ok(None),
                Effect::TakeBack => {
                    let reason = "an exclusion pattern needs a path behind its `!`";
                    Err(BadPattern { pattern: line.to_owned(), reason })
                }
            };
        }
        let pattern = clean(pattern);
        let relative = match pattern.strip_prefix('/') {
            Some(relative) if !relative.is_empty() => relative,
            _ => &pattern,
        };
        Ok(Some(Self { path: PathPattern::new(relative)?, effect }))
    }
}

/// The shortest path that means the same, worked out from the text alone, as Go's `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// The ignore files that a build with this Dockerfile looks for, in order: the first that exists
/// is used. Both paths are relative to where the Dockerfile's path is relative to, and to the
/// context, respectively.
pub fn candidates(dockerfile: &Path) -> [std::path::PathBuf; 2] {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    [own.into(), ".dockerignore".into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(patterns: &[&str], path: &str) -> bool {
        IgnorePatterns::new(patterns).unwrap().matches(path)
    }

    #[test]
    fn file_is_read_with_comments_blanks_and_sloppy_paths() {
        let file = b"\xef\xbb\xbf# comment\n\n  /build/ \r\n./a//b/../c\n ! build/keep \n #not a comment\n";
        let patterns = IgnorePatterns::parse(file).unwrap();
        assert!(patterns.matches("build/x") && patterns.matches("a/c/d"));
        assert!(!patterns.matches("build/keep/x") && !patterns.matches("a/b"));
        assert!(patterns.matches("#not a comment") && !patterns.matches("comment"));
    }

    #[test]
    fn error_points_at_its_line() {
        let error = IgnorePatterns::parse(b"a\n[b\n").unwrap_err();
        assert_eq!(error.span().line, 2);
        let error = IgnorePatterns::parse(b"!\n").unwrap_err();
        assert!(error.to_string().contains("exclusion pattern"), "{error}");
        assert!(IgnorePatterns::parse(&vec![b'a'; MAX_IGNORE_BYTES + 1]).is_err());
    }

    #[test]
    fn last_match_wins_and_parents_count() {
        assert!(ignored(&["a"], "a/b/c") && !ignored(&["a"], "ab"));
        assert!(!ignored(&["*", "!a"], "a/b") && ignored(&["*", "!a", "a/b"], "a/b/c"));
        assert!(ignored(&["!a", "a"], "a"));
        assert!(ignored(&["*"], "a/b") && !ignored(&["*"], ".") && !ignored(&[], "a"));
        assert!(ignored(&["**/*.o", "!keep/*.o"], "x/a.o") && !ignored(&["**/*.o", "!keep/*.o"], "keep/a.o"));
    }

    #[test]
    fn walk_gives_the_same_answers_as_whole_paths() {
        let lines = ["*", "!src", "src/**/*.tmp", "!src/a/keep.tmp", "docs"];
        let patterns = IgnorePatterns::new(lines).unwrap();
        for path in ["src/x.c", "src/a/b.tmp", "src/a/keep.tmp", "docs/x", "other/y/z", "src"] {
            let mut verdict = patterns.root();
            let mut at = String::new();
            for part in path.split('/') {
                if !at.is_empty() {
                    at.push('/');
                }
                at.push_str(part);
                verdict = patterns.below(verdict, &at);
            }
            assert_eq!(verdict.is_ignored(), patterns.matches(path), "{path}");
        }
    }

    #[test]
    fn ignored_directory_is_skipped_unless_something_below_may_be_taken_back() {
        let skips = |lines: &[&str], path: &str| {
            let patterns = IgnorePatterns::new(lines).unwrap();
            let verdict = patterns.below(patterns.root(), path);
            patterns.may_skip(verdict, path)
        };
        assert!(skips(&["node_modules"], "node_modules"));
        assert!(skips(&["*", "!src/x"], "docs") && !skips(&["*", "!src/x"], "src"));
        assert!(!skips(&["*", "!**/x"], "docs") && !skips(&["*", "!*/x"], "docs"));
        assert!(skips(&["!docs/x", "docs"], "docs"));
        assert!(!skips(&["*", "!src"], "src") && !skips(&["a"], "b"));
    }

    #[test]
    fn paths_are_cleaned_by_their_text() {
        for (path, clean_path) in [
            ("", "."),
            ("./a/", "a"),
            ("a/../..", ".."),
            ("/../a", "/a"),
            ("a//b/./c", "a/b/c"),
            ("../../a", "../../a"),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), clean_path, "{path}");
        }
    }

    #[test]
    fn ignore_file_of_the_dockerfile_comes_first() {
        let [own, common] = candidates(Path::new("sub/app.Dockerfile"));
        assert_eq!(own, Path::new("sub/app.Dockerfile.dockerignore"));
        assert_eq!(common, Path::new(".dockerignore"));
    }
}
