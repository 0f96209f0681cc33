//! Here-document words: `<<EOF`, `3<<-"EOF"`, `<< EOF`.
//!
//! A word opens a here-document only when it starts with an optional file descriptor and `<<`, so
//! `cat<<EOF` and a quoted `"<<EOF"` do not. Blanks behind `<<` belong to the word. The escape
//! character in it is always the backslash. A `$` in the terminator means nothing.

use std::ops::Range;

use super::words::Token;

/// What a here-document word says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeredocWord {
    /// The terminator, unquoted.
    pub name: String,
    /// The file descriptor; 0 when none was written.
    pub fd: u32,
    /// Whether the content is to be expanded: no quotes around any part of the terminator.
    pub expand: bool,
    /// Whether leading tabs are to be stripped.
    pub chomp: bool,
}

/// Why a here-document word is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeredocWordError {
    /// A quote in the terminator is never closed.
    #[error("quote in the terminator of a here-document is not closed")]
    OpenQuote,
    /// The file descriptor is no number that a process could have.
    #[error("file descriptor of a here-document is too large")]
    Descriptor,
}

impl HeredocWord {
    /// Reads a word as it was written. `None` means that it opens no here-document.
    pub fn parse(word: &str) -> Result<Option<Self>, HeredocWordError> {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &word[..word.len() - rest.len()];
        let Some(rest) = rest.strip_prefix("<<") else {
            return Ok(None);
        };
        let (rest, chomp) = match rest.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let terminator = rest.trim_start();
        if terminator.is_empty() || terminator.contains('<') {
            return Ok(None);
        }
        let fd = match digits {
            "" => 0,
            digits => digits.parse().map_err(|_| HeredocWordError::Descriptor)?,
        };
        Ok(unquote(terminator)?.map(|(name, expand)| Self { name, fd, expand, chomp }))
    }
}

/// The terminator without quotes and escapes, and whether it had no quotes. `None` when it is not
/// exactly one word.
fn unquote(terminator: &str) -> Result<Option<(String, bool)>, HeredocWordError> {
    let mut name = String::new();
    let mut expand = true;
    let mut quote = None;
    let mut chars = terminator.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\\', Some('"')) => {
                let mut ahead = chars.clone();
                match ahead.next() {
                    Some(escaped @ ('"' | '$' | '\\')) => {
                        name.push(escaped);
                        chars = ahead;
                    }
                    _ => name.push('\\'),
                }
            }
            ('\'' | '"', None) => {
                quote = Some(c);
                expand = false;
            }
            ('\\', None) => name.extend(chars.next()),
            (c, None) if c.is_whitespace() => {
                if !chars.as_str().trim().is_empty() {
                    return Ok(None);
                }
            }
            (c, _) => name.push(c),
        }
    }
    if quote.is_some() {
        return Err(HeredocWordError::OpenQuote);
    }
    Ok((!name.is_empty()).then_some((name, expand)))
}

/// Splits a line into the words among which here-documents are looked for, quotes and escapes
/// included. A line with a quote that is never closed has none.
pub(super) fn shell_words(text: &str, range: Range<usize>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text[range.clone()].char_indices().peekable();
    let token = |from: usize, to: usize| Token { text: text[from..to].to_owned(), range: from..to };
    while let Some((at, c)) = chars.next() {
        let at = range.start + at;
        if quote.is_none() && c.is_whitespace() {
            tokens.extend(start.take().map(|from| token(from, at)));
            continue;
        }
        start.get_or_insert(at);
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('\\', None | Some('"')) => {
                chars.next();
            }
            ('<', None) if chars.next_if(|&(_, next)| next == '<').is_some() => {
                chars.next_if(|&(_, next)| next == '-');
                while chars.next_if(|&(_, next)| next.is_whitespace()).is_some() {}
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return Vec::new();
    }
    tokens.extend(start.map(|from| token(from, range.end)));
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(name: &str, fd: u32, expand: bool, chomp: bool) -> HeredocWord {
        HeredocWord { name: name.to_owned(), fd, expand, chomp }
    }

    #[test]
    fn words_that_open_a_heredoc() {
        let cases = [
            ("<<EOF", word("EOF", 0, true, false)),
            ("<<-EOF", word("EOF", 0, true, true)),
            ("12<<- EOF", word("EOF", 12, true, true)),
            ("<< -EOF", word("-EOF", 0, true, false)),
            ("<<'a b'", word("a b", 0, false, false)),
            ("<<E\"O\"F", word("EOF", 0, false, false)),
            (r"<<E\'F", word("E'F", 0, true, false)),
            ("<<$EOF", word("$EOF", 0, true, false)),
        ];
        for (text, expected) in cases {
            assert_eq!(HeredocWord::parse(text), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn words_that_do_not() {
        for text in ["", "a", "<<", "<<-", "<a", "<<<a", "<<a b", "cat<<a", "\"<<a\"", "<<''"] {
            assert_eq!(HeredocWord::parse(text), Ok(None), "{text}");
        }
        assert_eq!(HeredocWord::parse("<<'a"), Err(HeredocWordError::OpenQuote));
        assert_eq!(HeredocWord::parse("99999999999<<a"), Err(HeredocWordError::Descriptor));
    }

    #[test]
    fn blanks_behind_the_arrows_belong_to_the_word() {
        let texts = |line: &str| {
            let words = shell_words(line, 0..line.len());
            words.into_iter().map(|t| t.text).collect::<Vec<_>>()
        };
        assert_eq!(texts("RUN <<  EOF > 'a b'"), ["RUN", "<<  EOF", ">", "'a b'"]);
        assert_eq!(texts("RUN <<- EOF"), ["RUN", "<<- EOF"]);
        assert_eq!(texts(r#"RUN "<< a" x\ y"#), ["RUN", r#""<< a""#, r"x\ y"]);
        assert_eq!(texts("RUN 'open <<EOF"), Vec::<String>::new());
    }
}
