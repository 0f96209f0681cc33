//! What a failed command prints, and the one table of exit codes.

use std::fmt::Write as _;
use std::process::ExitCode;

pub(crate) use farm_model::causes as chain;
use farm_model::event::Blame;
use farm_proto::client::Refusal;

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The build failed.
    pub(crate) const BUILD: u8 = 1;
    /// Wrong usage or a wrong Dockerfile.
    pub(crate) const USAGE: u8 = 2;
    /// The environment: registry, disk, permission, connection.
    pub(crate) const ENVIRONMENT: u8 = 3;
    /// A bug of ours.
    pub(crate) const INTERNAL: u8 = 70;
    /// Interrupted by the user.
    pub(crate) const INTERRUPTED: u8 = 130;

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: Self::USAGE, message: message.into(), hint: None }
    }

    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self { code: Self::ENVIRONMENT, message: message.into(), hint: None }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let hint = "this is a bug in farm; please report it with the Dockerfile and this output";
        Self { code: Self::INTERNAL, message: message.into(), hint: Some(hint.to_owned()) }
    }

    pub(crate) fn interrupted() -> Self {
        Self { code: Self::INTERRUPTED, message: "interrupted".to_owned(), hint: None }
    }

    /// The build failed for a reason whose blame `code` says.
    pub(crate) fn of_build(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// What a coordinator said instead of an answer.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        Self::blaming(refusal.blame, refusal.message.clone()).with_hint(refusal.hint.clone())
    }

    /// The connection to the coordinator is no good.
    pub(crate) fn connection(error: &farm_client::Error) -> Self {
        Self::environment(chain(error)).with_hint(error.hint())
    }

    /// A coordinator answered something that was not asked.
    pub(crate) fn unexpected() -> Self {
        Self::environment("the coordinator gave an answer to another question")
            .with_hint(Some("client and coordinator may be of different versions"))
    }

    /// The one table of exit codes.
    pub(crate) fn blaming(blame: Blame, message: impl Into<String>) -> Self {
        let code = match blame {
            Blame::Usage => Self::USAGE,
            Blame::Build => Self::BUILD,
            Blame::Environment => Self::ENVIRONMENT,
            Blame::Internal => return Self::internal(message),
        };
        Self::of_build(code, message)
    }

    /// Adds the way out.
    pub(crate) fn with_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into).or(self.hint);
        self
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What went wrong, and the way out: for whoever shows it in a way of its own.
    pub(crate) fn into_words(self) -> (String, Option<String>) {
        (self.message, self.hint)
    }

    /// Prints the failure and gives its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let mut text = String::new();
        // A rendered Dockerfile diagnostic already starts with its severity.
        let prefix = if self.message.starts_with("error:") { "" } else { "error: " };
        let _infallible = write!(text, "{prefix}{}", self.message.trim_end());
        if let Some(hint) = &self.hint {
            let _infallible = write!(text, "\nhint: {hint}");
        }
        crate::progress::complain(&visible(&text));
        ExitCode::from(self.code)
    }
}

impl From<farm_oci::Error> for Failure {
    fn from(error: farm_oci::Error) -> Self {
        Self::environment(chain(&error)).with_hint(error.hint())
    }
}

/// Text without what a terminal would act on: a registry or a Dockerfile may have put it there.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}
