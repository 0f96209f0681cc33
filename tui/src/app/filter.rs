//! What is typed after `/`: words that must all match. A word is plain text (case does not matter where it has no capital),
//! `/regex/`, `~fuzzy` or `-f fuzzy`, `key:value`, and any of these after `!` to turn it round.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use crate::view::text::clip;

/// Memory that a compiled pattern may take.
const MOST_REGEX: usize = 1 << 18;

/// A filter; the empty one lets everything through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
    error: Option<String>,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A word of a filter.
#[derive(Clone, Debug)]
struct Term {
    is_inverse: bool,
    key: Option<String>,
    pattern: Pattern,
}

/// How a word is looked for.
#[derive(Clone, Debug)]
enum Pattern {
    Exact(String),
    AnyCase(String),
    Regex(Box<Regex>),
    Fuzzy(Vec<char>),
}

/// A row as a filter sees it.
pub trait Fields {
    /// The text of a key such as `state` or `worker`; none when the row has no such key.
    fn field(&self, key: &str) -> Option<Cow<'_, str>>;

    /// The text in which words without a key are looked for.
    fn text(&self) -> Cow<'_, str>;
}

impl Fields for str {
    fn field(&self, _key: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl Filter {
    /// Reads a filter. One that is not understood lets everything through and says why.
    pub fn parse(text: &str) -> Self {
        let mut filter = Self { text: text.trim().to_owned(), ..Self::default() };
        let mut words = words(text).into_iter();
        while let Some(word) = words.next() {
            let term = if word == "-f" {
                words.next().map(|word| Ok(Term::new(Pattern::fuzzy(&word))))
            } else {
                term(&word).transpose()
            };
            match term {
                Some(Ok(term)) => filter.terms.push(term),
                Some(Err(message)) => filter.error = Some(message),
                None => {}
            }
        }
        if filter.error.is_some() {
            filter.terms.clear();
        }
        filter
    }

    /// What was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether everything is let through.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Why it was not understood.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether a row is let through.
    pub fn matches<F: Fields + ?Sized>(&self, row: &F) -> bool {
        if self.terms.is_empty() {
            return true;
        }
        let text = row.text();
        self.terms.iter().all(|term| {
            let found = match &term.key {
                Some(key) => row.field(key).is_some_and(|field| term.pattern.find(&field).is_some()),
                None => term.pattern.find(&text).is_some(),
            };
            found != term.is_inverse
        })
    }

    /// The parts of a text that words without a key and `!` found, as ranges of bytes, in order and apart from each other.
    pub fn found(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for term in self.terms.iter().filter(|term| !term.is_inverse && term.key.is_none()) {
            let mut from = 0;
            while let Some((start, end)) = text.get(from..).and_then(|rest| term.pattern.find(rest)) {
                if end > start {
                    found.push((from + start, from + end));
                }
                let step = text[from + end..].chars().next().map_or(1, char::len_utf8);
                from += if end > start { end } else { end + step };
            }
        }
        found.sort_unstable();
        let mut apart: Vec<(usize, usize)> = Vec::new();
        for (start, end) in found {
            match apart.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => apart.push((start, end)),
            }
        }
        apart
    }
}

impl Term {
    fn new(pattern: Pattern) -> Self {
        Self { is_inverse: false, key: None, pattern }
    }
}

impl Pattern {
    fn plain(word: &str) -> Self {
        if word.chars().any(char::is_uppercase) {
            Self::Exact(word.to_owned())
        } else {
            Self::AnyCase(word.to_lowercase())
        }
    }

    fn fuzzy(word: &str) -> Self {
        Self::Fuzzy(word.to_lowercase().chars().collect())
    }

    fn regex(word: &str) -> Result<Self, String> {
        let has_capital = word.chars().any(char::is_uppercase);
        let regex = RegexBuilder::new(word).case_insensitive(!has_capital).size_limit(MOST_REGEX).build();
        regex.map(|regex| Self::Regex(Box::new(regex))).map_err(|error| {
            let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            format!("`{}` is no regular expression: {last}", clip(word, 40, "~"))
        })
    }

    /// Where it is found first.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        match self {
            Self::Exact(word) => text.find(word.as_str()).map(|at| (at, at + word.len())),
            Self::AnyCase(word) => find_any_case(text, word),
            Self::Regex(regex) => regex.find(text).map(|found| (found.start(), found.end())),
            Self::Fuzzy(chars) => find_fuzzy(text, chars),
        }
    }
}

/// `word` is in lower case.
fn find_any_case(text: &str, word: &str) -> Option<(usize, usize)> {
    let Some(first) = word.chars().next() else { return Some((0, 0)) };
    for (start, c) in text.char_indices() {
        if c != first && !c.to_lowercase().eq(std::iter::once(first)) && c.is_ascii() {
            continue;
        }
        let mut wanted = word.chars();
        let mut end = start;
        for c in text[start..].chars() {
            let rest = wanted.clone();
            if c.to_lowercase().all(|lower| wanted.next() == Some(lower)) {
                end += c.len_utf8();
            } else {
                wanted = rest;
                break;
            }
            if wanted.as_str().is_empty() {
                return Some((start, end));
            }
        }
    }
    None
}

/// From the first character that is found to the last.
fn find_fuzzy(text: &str, chars: &[char]) -> Option<(usize, usize)> {
    let mut wanted = chars.iter();
    let Some(mut next) = wanted.next() else { return Some((0, 0)) };
    let mut start = None;
    for (at, c) in text.char_indices() {
        if c.to_lowercase().next() == Some(*next) {
            let start = *start.get_or_insert(at);
            match wanted.next() {
                Some(more) => next = more,
                None => return Some((start, at + c.len_utf8())),
            }
        }
    }
    None
}

/// The words of a text; `/a pattern/` is one, also behind `!` or `key:`.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_regex) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        let opens = word.is_empty() || word == "!" || word.ends_with(':');
        if c == '/' && (is_regex || opens) {
            is_regex = !is_regex;
            word.push(c);
        } else if c.is_whitespace() && !is_regex {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// One word; none when there is nothing to look for yet, as while it is typed.
fn term(word: &str) -> Result<Option<Term>, String> {
    let (is_inverse, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase());
    let (key, word) = match word.split_once(':') {
        Some((key, value)) if is_key(key) => (Some(key.to_owned()), value),
        Some(_) | None => (None, word),
    };
    if word.is_empty() {
        return Ok(None);
    }
    let pattern = if let Some(rest) = word.strip_prefix('/') {
        match rest.strip_suffix('/') {
            Some(regex) => Pattern::regex(regex)?,
            None if rest.is_empty() => return Ok(None),
            // A path, or a pattern whose end is not typed yet.
            None => Pattern::plain(word),
        }
    } else if let Some(rest) = word.strip_prefix('~') {
        Pattern::fuzzy(rest)
    } else {
        Pattern::plain(word)
    };
    Ok(Some(Term { is_inverse, key, pattern }))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row;

    impl Fields for Row {
        fn field(&self, key: &str) -> Option<Cow<'_, str>> {
            match key {
                "state" => Some("failed".into()),
                "user" => Some("Zoë".into()),
                _ => None,
            }
        }

        fn text(&self) -> Cow<'_, str> {
            "registry/app:1 Zoë RUN make".into()
        }
    }

    #[test]
    fn words_are_found_each_in_its_way() {
        for yes in [
            "",
            "app",
            "ZOË x",
            "run make",
            "zoë",
            "/ap+:\\d/",
            "/run m/",
            "!other",
            "~rgap",
            "-f rgap",
            "state:fail",
            "!state:ok",
            "state:/^f.*d$/",
            "user:~zë",
            "!worker:w1",
            "state:",
            "/app",
            "!",
        ] {
            let wanted = yes != "ZOË x";
            assert_eq!(Filter::parse(yes).matches(&Row), wanted, "{yes}");
        }
        for no in ["APP", "!app", "make nothing", "state:ok", "worker:w1", "~pag9", "!/app/"] {
            assert!(!Filter::parse(no).matches(&Row), "{no}");
        }
    }

    #[test]
    fn a_bad_pattern_says_so_and_hides_nothing() {
        let filter = Filter::parse("nothing /a(/");
        assert!(filter.matches("x"));
        let message = filter.error().unwrap();
        assert!(
            message.starts_with("`a(` is no regular expression: ") && !message.contains('\n'),
            "{message}"
        );
        assert!(Filter::parse("/(a{1000}){1000}/").error().is_some());
    }

    #[test]
    fn what_was_found_can_be_marked() {
        assert_eq!(Filter::parse("ab b").found("xABb ab"), [(1, 4), (5, 7)]);
        assert_eq!(Filter::parse("/x*/ !q").found("xaé"), [(0, 1)]);
        assert_eq!(Filter::parse("é").found("É é"), [(0, 2), (3, 5)]);
        assert_eq!(Filter::parse("key:a").found("a"), []);
    }
}
