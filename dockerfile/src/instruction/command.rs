//! `CMD`, `ENTRYPOINT` and the command of `RUN`: a command line in exec or shell form.

use super::flags;
use crate::ast::{Heredoc, Node};
use crate::diagnostic::Error;

/// A command as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommandLine {
    /// The words of the exec form, or the text of the shell form as one word.
    pub words: Vec<String>,
    /// Which form it is.
    pub form: Form,
    /// Its here-documents; `RUN` alone can have some.
    pub heredocs: Vec<Heredoc>,
}

/// How a command was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A JSON array: the program and its arguments.
    Exec,
    /// A text for the shell.
    Shell,
}

impl CommandLine {
    pub(super) fn new(node: &Node) -> Self {
        Self {
            words: node.arg_texts().map(str::to_owned).collect(),
            form: if node.json { Form::Exec } else { Form::Shell },
            heredocs: node.heredocs.clone(),
        }
    }

    /// What is run: the words themselves, or the shell with the text behind it.
    #[must_use]
    pub fn with_shell(&self, shell: &[String]) -> Vec<String> {
        match self.form {
            Form::Exec => self.words.clone(),
            Form::Shell => shell.iter().cloned().chain([self.words.join(" ")]).collect(),
        }
    }
}

/// `CMD` and `ENTRYPOINT`.
pub(super) fn plain(node: &Node) -> Result<CommandLine, Error> {
    flags::none(node)?;
    Ok(CommandLine::new(node))
}
