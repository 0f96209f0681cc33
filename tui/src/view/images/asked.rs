//! A thing that is asked for: not yet, not any more, or here.

use ratatui::text::Line;

use crate::app::effect::{Answer, Query};
use crate::state::text::harmless;
use crate::view::theme::Theme;

/// What became of a question.
#[derive(Clone, Debug, Default)]
pub(in crate::view) enum Asked<T> {
    /// Nobody has asked it.
    #[default]
    Not,
    /// It will be asked as soon as somebody takes it.
    Wanted(Query),
    /// The answer has not come.
    Waiting,
    /// It is here.
    Known(T),
    /// There is none.
    Refused(String),
}

impl<T> Asked<T> {
    /// Something that is asked for now.
    pub(in crate::view) fn of(query: Query) -> Self {
        Self::Wanted(query)
    }

    /// The question, once.
    pub(in crate::view) fn take(&mut self) -> Option<Query> {
        match std::mem::replace(self, Self::Waiting) {
            Self::Wanted(query) => Some(query),
            other @ (Self::Not | Self::Waiting | Self::Known(_) | Self::Refused(_)) => {
                *self = other;
                None
            }
        }
    }

    /// The answer.
    pub(in crate::view) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Not | Self::Wanted(_) | Self::Waiting | Self::Refused(_) => None,
        }
    }

    /// Whether it was asked and nobody has answered.
    pub(in crate::view) fn is_open(&self) -> bool {
        matches!(self, Self::Wanted(_) | Self::Waiting)
    }

    /// Takes a refusal, when it waits for an answer; whether it did.
    pub(in crate::view) fn refuse(&mut self, answer: &Answer) -> bool {
        let (Self::Waiting, Answer::Refused { what, message, hint }) = (&self, answer) else { return false };
        let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        *self = Self::Refused(harmless(&format!("failed to {what}: {message}{hint}")).into_owned());
        true
    }

    /// What to say as long as the answer is not here.
    pub(in crate::view) fn line(&self, what: &str, theme: &Theme) -> Option<Line<'static>> {
        match self {
            Self::Not | Self::Known(_) => None,
            Self::Wanted(_) | Self::Waiting => Some(Line::styled(format!("asking for {what}"), theme.dim)),
            Self::Refused(why) => Some(Line::styled(why.clone(), theme.bad)),
        }
    }
}
