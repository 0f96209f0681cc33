//! `ONBUILD`.

use super::flags;
use crate::ast::Node;
use crate::diagnostic::Error;

/// `ONBUILD`: an instruction that a later build from this image runs first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Onbuild {
    /// The instruction as text, as the image's configuration keeps it; here-documents included.
    pub expression: String,
    /// The instruction, parsed.
    pub trigger: Node,
}

impl Onbuild {
    pub(super) fn parse(node: &Node) -> Result<Self, Error> {
        let Some(trigger) = node.onbuild.as_deref() else {
            return Err(Error::new(node.span, "ONBUILD requires at least one argument")
                .with_hint("write an instruction behind it, as in `ONBUILD RUN make`"));
        };
        flags::none(node)?;
        if matches!(trigger.keyword.as_str(), "from" | "maintainer") {
            let name = trigger.keyword.to_ascii_uppercase();
            return Err(Error::new(
                trigger.keyword_span,
                format!("{name} isn't allowed as an ONBUILD trigger"),
            )
            .with_hint("a trigger is any other instruction"));
        }
        let mut expression = trigger.original.clone();
        for heredoc in &trigger.heredocs {
            expression.push('\n');
            expression.push_str(&heredoc.content);
            expression.push_str(&heredoc.name);
        }
        Ok(Self { expression, trigger: trigger.clone() })
    }
}
