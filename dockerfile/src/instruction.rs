//! Typed instructions: what a parsed line means, before any variable has a value.
//!
//! [`parse`] checks everything that does not depend on variables: the flags and their values, the
//! number of arguments, names, durations. What may hold variables stays a [`Word`] and is expanded by
//! lowering. Specification: Docker's Dockerfile reference; the phrases of the errors are the ones that
//! users of `docker build` search for.
//!
//! Deliberately absent: the order of instructions and anything about stages other than their names.

mod command;
mod flags;
mod from;
mod health;
mod metadata;
mod mount;
mod onbuild;
mod run;
mod transfer;

pub use command::{CommandLine, Form};
pub use from::From;
pub use health::Health;
pub use metadata::{ArgDefinition, Pair};
pub use mount::{MountOptions, MountSpec, MountType};
pub use onbuild::Onbuild;
pub use run::{NetworkMode, Run};
pub use transfer::{Inline, Transfer};

use crate::ast::{Node, Word};
use crate::diagnostic::{Error, Span};

/// One instruction of a Dockerfile.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instruction {
    /// Which, and with what.
    pub kind: Kind,
    /// Its line with continuations joined.
    pub original: String,
    /// Where it stands.
    pub span: Span,
    /// The comment lines directly above it.
    pub comments: Vec<String>,
}

impl Instruction {
    /// What a comment directly above says about `name`: the text of a line that begins with it.
    pub fn documentation(&self, name: &str) -> Option<&str> {
        let about = |line: &'_ str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
        let line = self.comments.iter().find(|line| about(line)).filter(|_| !name.is_empty())?;
        Some(&line[name.len() + 1..])
    }
}

/// The instructions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `ARG`.
    Arg(Vec<ArgDefinition>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY` and `ADD`.
    Transfer(Box<Transfer>),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `EXPOSE`: ports and ranges, sorted as text.
    Expose(Vec<Word>),
    /// `FROM`.
    From(From),
    /// `HEALTHCHECK`.
    Health(Health),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`.
    Onbuild(Box<Onbuild>),
    /// `RUN`.
    Run(Box<Run>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(Word),
    /// `USER`.
    User(Word),
    /// `VOLUME`.
    Volume(Vec<Word>),
    /// `WORKDIR`.
    Workdir(Word),
}

impl Kind {
    /// The instruction's name in upper case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Transfer(transfer) => transfer.name(),
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::From(_) => "FROM",
            Self::Health(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// Gives a parsed line its type.
///
/// # Errors
/// A line that no expansion of its variables could make right.
pub fn parse(node: &Node) -> Result<Instruction, Error> {
    let kind = match node.keyword.as_str() {
        "add" => Kind::Transfer(Box::new(Transfer::parse(node, true)?)),
        "copy" => Kind::Transfer(Box::new(Transfer::parse(node, false)?)),
        "arg" => Kind::Arg(metadata::arg(node)?),
        "cmd" => Kind::Cmd(command::plain(node)?),
        "entrypoint" => Kind::Entrypoint(command::plain(node)?),
        "env" => Kind::Env(metadata::pairs(node, "ENV")?),
        "label" => Kind::Label(metadata::pairs(node, "LABEL")?),
        "expose" => Kind::Expose(metadata::expose(node)?),
        "from" => Kind::From(From::parse(node)?),
        "healthcheck" => Kind::Health(Health::parse(node)?),
        "maintainer" => Kind::Maintainer(metadata::single(node, "MAINTAINER")?.text),
        "onbuild" => Kind::Onbuild(Box::new(Onbuild::parse(node)?)),
        "run" => Kind::Run(Box::new(Run::parse(node)?)),
        "shell" => Kind::Shell(metadata::shell(node)?),
        "stopsignal" => Kind::StopSignal(metadata::single(node, "STOPSIGNAL")?),
        "user" => Kind::User(metadata::single(node, "USER")?),
        "volume" => Kind::Volume(metadata::volume(node)?),
        "workdir" => Kind::Workdir(metadata::single(node, "WORKDIR")?),
        _ => {
            return Err(Error::new(
                node.keyword_span,
                format!("unknown instruction: {}", node.original_keyword),
            ));
        }
    };
    let Node { original, span, comments, .. } = node;
    Ok(Instruction { kind, original: original.clone(), span: *span, comments: comments.clone() })
}

/// The candidate that `word` is most likely a misspelling of.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // Distances on huge words cost their product, and nobody misspells that much.
    if word.len() > 256 {
        return None;
    }
    let scored = candidates.into_iter().filter(|candidate| candidate.len() <= 256).map(|candidate| {
        let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
        (distance, candidate)
    });
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.chars().count() / 4 && distance < word.chars().count().max(1)).then_some(candidate)
}

/// Adds the nearest candidate as a hint, or else what `otherwise` says.
pub(crate) fn suggest<'a>(
    error: Error,
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> Error {
    match nearest(word, candidates) {
        Some(candidate) => error.with_hint(format!("did you mean `{candidate}`?")),
        None if otherwise.is_empty() => error,
        None => error.with_hint(otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("fron", ["from", "chown"]), Some("from"));
        assert_eq!(nearest("bulid", ["build", "test"]), Some("build"));
        assert_eq!(nearest("zzz", ["from", "chown"]), None);
        assert_eq!(nearest("", ["from"]), None);
    }
}
