//! `--chmod`: octal bits, or what `chmod(1)` takes.

use crate::diagnostic::{Error, Span};

/// Checks a mode such as `0755`, `u=rw,go-w` or `a+X`.
pub(super) fn check(text: &str, span: Span) -> Result<(), Error> {
    let octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..b'8').contains(&byte));
    let valid = if octal {
        u32::from_str_radix(text, 8).is_ok_and(|bits| bits <= 0o7777)
    } else {
        text.split(',').all(is_clause)
    };
    if valid {
        return Ok(());
    }
    let message = format!(
        "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777, or symbolic"
    );
    Err(Error::new(span, message).with_hint("write a mode such as `0755`, `go-w` or `u=rwX,go=rX`"))
}

/// Who, then at least one operator with what it sets.
fn is_clause(clause: &str) -> bool {
    let operations = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    if !operations.starts_with(['+', '-', '=']) {
        return false;
    }
    operations.split(['+', '-', '=']).skip(1).all(|permissions| {
        matches!(permissions, "u" | "g" | "o") || permissions.chars().all(|c| "rwxXst".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbolic_modes_are_told_from_nonsense() {
        for text in [
            "0",
            "755",
            "07777",
            "go-w",
            "u=rw,g=r,o=r",
            "a+X",
            "u+rw,g+r,o-x,o+w",
            "+x",
            "u=g",
            "u+r-w",
            "a=",
        ] {
            assert!(check(text, Span::at(1, 1)).is_ok(), "{text}");
        }
        for text in ["64a", "10000", "", "u", "rw", "u+q", "u+r,", "99999999999999"] {
            assert!(check(text, Span::at(1, 1)).is_err(), "{text}");
        }
    }
}
