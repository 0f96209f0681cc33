//! The exec form: a JSON array of strings.
//!
//! What is not JSON is not an error here, because the instruction then has the shell form; what is
//! JSON but not an array of strings is one.

use std::ops::Range;

use super::words::Token;

/// What a piece of text is, seen as an exec form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ExecForm {
    /// The decoded strings.
    Strings(Vec<Token>),
    /// A JSON array that holds something else.
    OtherJson,
    /// Not a JSON array.
    NotJson,
}

/// Reads the text in `range` as an exec form.
pub(super) fn exec_form(text: &str, range: Range<usize>) -> ExecForm {
    let inner = &text[range.clone()];
    if !inner.trim_start().starts_with('[') {
        return ExecForm::NotJson;
    }
    let reader = Reader { rest: inner, base: range.start };
    if let Some(strings) = reader.array() {
        return ExecForm::Strings(strings);
    }
    // The array of strings was ruled out above, so whatever is valid here is something else.
    match serde_json::from_str::<serde_json::Value>(inner.trim()) {
        Ok(_) => ExecForm::OtherJson,
        Err(_) => ExecForm::NotJson,
    }
}

/// Reads from the front of `rest`, which starts at `base` in the line.
struct Reader<'a> {
    rest: &'a str,
    base: usize,
}

impl Reader<'_> {
    fn array(mut self) -> Option<Vec<Token>> {
        let mut strings = Vec::new();
        // Whitespace before the bracket is any; within JSON it is JSON's.
        let blanks = self.rest.len() - self.rest.trim_start().len();
        self.advance(blanks);
        self.take('[')?;
        if self.take(']').is_none() {
            loop {
                strings.push(self.string()?);
                if self.take(',').is_none() {
                    break;
                }
            }
            self.take(']')?;
        }
        self.rest.trim().is_empty().then_some(strings)
    }

    /// Skips whitespace, then takes `c` if it comes next.
    fn take(&mut self, c: char) -> Option<()> {
        self.skip_blanks();
        if !self.rest.starts_with(c) {
            return None;
        }
        self.advance(c.len_utf8());
        Some(())
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.advance(blanks);
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
        self.base += bytes;
    }

    fn string(&mut self) -> Option<Token> {
        self.skip_blanks();
        let start = self.base;
        let mut text = String::new();
        let mut chars = self.rest.strip_prefix('"')?.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(escaped(&mut chars)?),
                c if u32::from(c) < 0x20 => return None,
                c => text.push(c),
            }
        }
        let length = self.rest.len() - chars.as_str().len();
        self.advance(length);
        Some(Token { text, range: start..start + length })
    }
}

/// The character behind a backslash. A lone surrogate becomes U+FFFD, as in Go.
fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = hex4(chars)?;
            let mut ahead = chars.clone();
            let second =
                (ahead.next() == Some('\\') && ahead.next() == Some('u')).then(|| hex4(&mut ahead)).flatten();
            match (first, second) {
                (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                    *chars = ahead;
                    let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                _ => char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
            }
        }
        c @ ('"' | '\\' | '/') => c,
        _ => return None,
    })
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |code, _| Some(code * 16 + chars.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> Vec<String> {
        match exec_form(text, 0..text.len()) {
            ExecForm::Strings(tokens) => tokens.into_iter().map(|t| t.text).collect(),
            other @ (ExecForm::OtherJson | ExecForm::NotJson) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn array_of_strings_is_decoded() {
        assert_eq!(strings(r#" [ "a" , "b\n\u0041\/" ]  "#), ["a", "b\nA/"]);
        assert_eq!(strings("[]"), Vec::<String>::new());
        assert_eq!(strings(r#"["\ud83d\ude00", "\ud800x"]"#), ["😀", "\u{fffd}x"]);
    }

    #[test]
    fn other_arrays_are_told_from_text() {
        for other in ["[1]", r#"["a", null]"#, r#"[["a"]]"#, r#"[{"a": "b"}]"#] {
            assert_eq!(exec_form(other, 0..other.len()), ExecForm::OtherJson, "{other}");
        }
        for text in ["a", "['a']", r#"["a""#, r#"["a"] x"#, r#"["a",]"#, r#"["\x"]"#, "[\"\t\"]"] {
            assert_eq!(exec_form(text, 0..text.len()), ExecForm::NotJson, "{text}");
        }
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let deep = "[".repeat(1 << 18);
        assert_eq!(exec_form(&deep, 0..deep.len()), ExecForm::NotJson);
    }

    #[test]
    fn strings_know_their_range() {
        let text = r#"CMD ["a", "bc"]"#;
        let ExecForm::Strings(tokens) = exec_form(text, 4..text.len()) else { panic!("not JSON") };
        assert_eq!(&text[tokens[1].range.clone()], r#""bc""#);
    }
}
