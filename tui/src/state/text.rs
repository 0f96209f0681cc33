//! Foreign text made fit to be shown.

use std::borrow::Cow;

/// The text without what a terminal would act on: control characters, also those of Unicode, and marks that turn the
/// direction of writing become spaces.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_harmful) {
        Cow::Owned(text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// As [`harmless`], of bytes that should be UTF-8; what is not becomes U+FFFD.
pub fn harmless_bytes(bytes: &[u8]) -> String {
    harmless(&String::from_utf8_lossy(bytes)).into_owned()
}

fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_gone() {
        assert_eq!(harmless("a\x1b[2Jb\u{9b}c\u{202e}d"), "a [2Jb c d");
        assert!(matches!(harmless("plain ä 漢"), Cow::Borrowed(_)));
        assert_eq!(harmless_bytes(b"a\xff"), "a\u{fffd}");
    }
}
