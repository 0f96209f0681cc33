//! How instructions split their arguments: at blanks, into quoted words, into flags, into names
//! and values.
//!
//! Nothing is unquoted here except flags, which no variable expansion follows. Every piece keeps
//! the range of the text that it came from.

use std::ops::Range;

/// A piece of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) range: Range<usize>,
}

impl Token {
    fn cut(text: &str, range: Range<usize>) -> Self {
        Self { text: text[range.clone()].to_owned(), range }
    }
}

/// What separates an instruction's name from its arguments, and plain arguments from each other.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// The range without whitespace at both ends.
pub(super) fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let inner = &text[range.clone()];
    let start = range.start + (inner.len() - inner.trim_start().len());
    start..start + inner.trim().len()
}

/// The first word of a range, and the range behind it and the blanks that follow.
pub(super) fn first_word(text: &str, range: Range<usize>) -> (Range<usize>, Range<usize>) {
    let inner = &text[range.clone()];
    let Some(end) = inner.find(is_blank) else {
        return (range.clone(), range.end..range.end);
    };
    let rest = inner[end..].trim_start_matches(is_blank).len();
    (range.start..range.start + end, range.end - rest..range.end)
}

/// Splits at blanks and knows no quotes.
pub(super) fn split_at_blanks(text: &str, range: Range<usize>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = range;
    while !rest.is_empty() {
        let (word, behind) = first_word(text, rest);
        if !word.is_empty() {
            tokens.push(Token::cut(text, word));
        }
        rest = behind;
    }
    tokens
}

/// Where a scan for words stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Between,
    InWord,
    InQuote(char),
}

/// Splits at whitespace outside quotes; quotes and escapes stay in the words.
///
/// An escape character at the very end is dropped. Nothing can be escaped in single quotes. A
/// quote that is never closed reaches to the end.
pub(super) fn split_quoted(text: &str, range: Range<usize>, escape: char) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = Token { text: String::new(), range: range.start..range.start };
    let mut phase = Phase::Between;
    let mut chars = text[range.clone()].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !matches!(phase, Phase::InQuote(_)) && c.is_whitespace() {
            push_word(&mut tokens, &mut word);
            phase = Phase::Between;
            continue;
        }
        let at = range.start + at;
        if phase == Phase::Between {
            word.range = at..at;
            phase = Phase::InWord;
        }
        if phase == Phase::InQuote(c) {
            phase = Phase::InWord;
        } else if phase == Phase::InWord && matches!(c, '\'' | '"') {
            phase = Phase::InQuote(c);
        }
        word.range.end = at + c.len_utf8();
        if c == escape && phase != Phase::InQuote('\'') {
            let Some((_, escaped)) = chars.next() else {
                break;
            };
            word.text.push(c);
            word.text.push(escaped);
            word.range.end += escaped.len_utf8();
        } else {
            word.text.push(c);
        }
    }
    push_word(&mut tokens, &mut word);
    tokens
}

fn push_word(tokens: &mut Vec<Token>, word: &mut Token) {
    if !word.text.is_empty() {
        let text = std::mem::take(&mut word.text);
        tokens.push(Token { text, range: word.range.clone() });
    }
}

/// Takes the leading flags off a range: words that start with `--`, unquoted and unescaped.
///
/// A lone `--` ends the flags and is dropped. Returns the flags and what is left.
pub(super) fn split_flags(text: &str, range: Range<usize>) -> (Vec<Token>, Range<usize>) {
    let mut flags = Vec::new();
    let mut at = range.start;
    loop {
        let rest = &text[at..range.end];
        at += rest.len() - rest.trim_start().len();
        let rest = &text[at..range.end];
        if !rest.starts_with("--") {
            return (flags, at..range.end);
        }
        let (flag, length) = unquoted_word(rest);
        let token = Token { text: flag, range: at..at + length };
        at += length;
        if token.text == "--" {
            return (flags, at..range.end);
        }
        if !token.text.is_empty() {
            flags.push(token);
        }
    }
}

/// The first word without its quotes and escapes, and its length in the text.
fn unquoted_word(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => return (word, at),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            // The escape of flags is always the backslash, whatever the directive says.
            ('\\', _) => word.extend(chars.next().map(|(_, escaped)| escaped)),
            (c, _) => word.push(c),
        }
    }
    (word, text.len())
}

/// Why names and values could not be split.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum NameValueError {
    /// The legacy form without a value.
    NoValue,
    /// A word without `=` among words that have one.
    NoEquals(Token),
}

/// Splits the arguments of ENV and LABEL into triples of name, value and separator.
///
/// The first word decides: with `=` in it, each word is `name=value`; without, the legacy form
/// `name value` takes the whole rest as the value.
pub(super) fn name_values(
    text: &str,
    range: Range<usize>,
    escape: char,
) -> Result<Vec<Token>, NameValueError> {
    let words = split_quoted(text, range.clone(), escape);
    let Some(first) = words.first() else {
        return Ok(Vec::new());
    };
    if !first.text.contains('=') {
        let (name, value) = first_word(text, range);
        if value.is_empty() {
            return Err(NameValueError::NoValue);
        }
        let separator = Token { text: String::new(), range: value.start..value.start };
        return Ok(vec![Token::cut(text, name), Token::cut(text, value), separator]);
    }
    let mut triples = Vec::with_capacity(words.len() * 3);
    for word in words {
        let Some((name, value)) = word.text.split_once('=') else {
            return Err(NameValueError::NoEquals(word));
        };
        let equals = word.range.start + name.len();
        triples.push(Token { text: name.to_owned(), range: word.range.start..equals });
        triples.push(Token { text: value.to_owned(), range: equals + 1..word.range.end });
        triples.push(Token { text: "=".to_owned(), range: equals..equals + 1 });
    }
    Ok(triples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tokens: &[Token]) -> Vec<&str> {
        tokens.iter().map(|t| t.text.as_str()).collect()
    }

    fn quoted(text: &str) -> Vec<String> {
        split_quoted(text, 0..text.len(), '\\').into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn quotes_and_escapes_hold_words_together_and_stay() {
        assert_eq!(quoted(r#"a 'b c' "d \" e" f\ g"#), ["a", "'b c'", r#""d \" e""#, r"f\ g"]);
        assert_eq!(quoted(r"'a\' b"), [r"'a\'", "b"]);
        assert_eq!(quoted(r#""open end"#), [r#""open end"#]);
        assert_eq!(quoted("a\\"), ["a"]);
        assert_eq!(quoted("  "), Vec::<String>::new());
    }

    #[test]
    fn tokens_know_their_range() {
        let text = "xx é 'b c'";
        let tokens = split_quoted(text, 3..text.len(), '\\');
        assert_eq!(tokens[1].range, 6..11);
        assert_eq!(&text[tokens[0].range.clone()], "é");
    }

    #[test]
    fn flags_end_at_the_first_other_word_or_at_two_dashes() {
        let text = r#"--a --b="x y" --c=\" -- --d e"#;
        let (flags, rest) = split_flags(text, 0..text.len());
        assert_eq!(texts(&flags), ["--a", "--b=x y", "--c=\""]);
        assert_eq!(&text[rest], " --d e");
        let (flags, rest) = split_flags("-a --b", 0..6);
        assert!(flags.is_empty());
        assert_eq!(rest, 0..6);
        let (flags, _) = split_flags("--x\\", 0..4);
        assert_eq!(texts(&flags), ["--x"]);
    }

    #[test]
    fn names_and_values_in_both_forms() {
        let split = |text: &str| {
            let tokens = name_values(text, 0..text.len(), '\\');
            tokens.map(|t| t.into_iter().map(|t| t.text).collect::<Vec<_>>())
        };
        assert_eq!(split("a b  c").unwrap(), ["a", "b  c", ""]);
        assert_eq!(split("a=1 b='x y'").unwrap(), ["a", "1", "=", "b", "'x y'", "="]);
        assert_eq!(split("a=").unwrap(), ["a", "", "="]);
        assert_eq!(split("").unwrap(), Vec::<String>::new());
        assert_eq!(split("a"), Err(NameValueError::NoValue));
        assert!(matches!(split("a=1 b"), Err(NameValueError::NoEquals(word)) if word.text == "b"));
    }
}
