//! The instructions that only change the configuration or the variables.

use super::flags;
use crate::ast::{Node, Word};
use crate::diagnostic::Error;

/// A name and value of `ENV` or `LABEL`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value.
    pub value: Word,
    /// Whether it was written with a blank in place of `=`.
    pub legacy: bool,
}

/// One name of an `ARG`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArgDefinition {
    /// The name.
    pub name: Word,
    /// The default value, when it has one.
    pub value: Option<Word>,
}

/// An instruction with one argument, such as `USER`.
pub(super) fn single(node: &Node, name: &str) -> Result<Word, Error> {
    let [argument] = node.args.as_slice() else {
        let error = Error::new(node.span, format!("{name} requires exactly one argument"));
        return Err(error.with_hint(format!("write `{name} value`; quote a value that has blanks")));
    };
    flags::none(node)?;
    Ok(argument.clone())
}

fn at_least_one(node: &Node, name: &str) -> Result<(), Error> {
    if node.args.is_empty() {
        let error = Error::new(node.span, format!("{name} requires at least one argument"));
        return Err(error.with_hint(format!("say what `{name}` sets, or remove the line")));
    }
    Ok(())
}

fn blank_name(word: &Word, name: &str) -> Error {
    Error::new(word.span, format!("{name} names can not be blank")).with_hint("write a name before the `=`")
}

/// `ENV` and `LABEL`.
pub(super) fn pairs(node: &Node, name: &str) -> Result<Vec<Pair>, Error> {
    flags::none(node)?;
    at_least_one(node, name)?;
    let mut pairs = Vec::with_capacity(node.args.len() / 3);
    for triple in node.args.chunks(3) {
        let [key, value, separator] = triple else {
            return Err(Error::new(node.span, format!("Bad input to {name}, too many arguments"))
                .with_hint(format!("write `{name} name=value`")));
        };
        if key.text.is_empty() {
            return Err(blank_name(key, name));
        }
        pairs.push(Pair { name: key.clone(), value: value.clone(), legacy: separator.text.is_empty() });
    }
    Ok(pairs)
}

/// `ARG`.
pub(super) fn arg(node: &Node) -> Result<Vec<ArgDefinition>, Error> {
    flags::none(node)?;
    at_least_one(node, "ARG")?;
    let definition = |word: &Word| match word.text.split_once('=') {
        Some(("", _)) => Err(blank_name(word, "ARG")),
        Some((name, value)) => Ok(ArgDefinition {
            name: Word { text: name.to_owned(), span: word.span },
            value: Some(Word { text: value.to_owned(), span: word.span }),
        }),
        None => Ok(ArgDefinition { name: word.clone(), value: None }),
    };
    node.args.iter().map(definition).collect()
}

/// `EXPOSE`.
pub(super) fn expose(node: &Node) -> Result<Vec<Word>, Error> {
    at_least_one(node, "EXPOSE")?;
    flags::none(node)?;
    let mut ports = node.args.clone();
    ports.sort_by(|a, b| a.text.cmp(&b.text));
    Ok(ports)
}

/// `VOLUME`.
pub(super) fn volume(node: &Node) -> Result<Vec<Word>, Error> {
    at_least_one(node, "VOLUME")?;
    flags::none(node)?;
    let trimmed = |word: &Word| match word.text.trim() {
        "" => Err(Error::new(word.span, "VOLUME specified can not be an empty string")
            .with_hint("name a directory, as in `VOLUME /data`")),
        text => Ok(Word { text: text.to_owned(), span: word.span }),
    };
    node.args.iter().map(trimmed).collect()
}

/// `SHELL`.
pub(super) fn shell(node: &Node) -> Result<Vec<String>, Error> {
    flags::none(node)?;
    at_least_one(node, "SHELL")?;
    if !node.json {
        return Err(Error::new(node.span, "SHELL requires the arguments to be in JSON form")
            .with_hint("write `SHELL [\"/bin/sh\", \"-c\"]`"));
    }
    Ok(node.arg_texts().map(str::to_owned).collect())
}
