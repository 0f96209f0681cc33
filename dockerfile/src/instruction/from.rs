//! `FROM`.

use super::flags::{Flags, Takes};
use crate::ast::{Node, Word};
use crate::diagnostic::Error;

/// `FROM`: the start of a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct From {
    /// A stage, an image, a named context or `scratch`.
    pub base: Word,
    /// The name after `AS`, in lower case.
    pub name: Option<Word>,
    /// `--platform`.
    pub platform: Option<Word>,
}

impl From {
    pub(super) fn parse(node: &Node) -> Result<Self, Error> {
        let name = stage_name(node)?;
        let flags = Flags::parse(node, &[("platform", Takes::Text)])?;
        Ok(Self { base: node.args[0].clone(), name, platform: flags.text("platform") })
    }
}

/// Checks the number of words as well: `FROM base`, or `FROM base AS name`.
fn stage_name(node: &Node) -> Result<Option<Word>, Error> {
    match node.args.as_slice() {
        [_] => Ok(None),
        [_, word, name] if word.text.eq_ignore_ascii_case("as") => {
            let text = name.text.to_lowercase();
            if !valid_name(&text) {
                let message = format!(
                    "invalid name for build stage: \"{}\", name can't start with a number or contain symbols",
                    name.text
                );
                let hint = "start with a letter, and go on with letters, digits, `-`, `_` and `.`";
                return Err(Error::new(name.span, message).with_hint(hint));
            }
            Ok(Some(Word { text, span: name.span }))
        }
        _ => Err(Error::new(node.span, "FROM requires either one or three arguments")
            .with_hint("write `FROM image` or `FROM image AS name`")),
    }
}

fn valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
        })
}
