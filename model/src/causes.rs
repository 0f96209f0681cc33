//! Errors as people read them.

use std::error::Error;

/// `error` and all its causes in one line; a cause that the text above it already ends with is not repeated.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layered {
        text: &'static str,
        source: Option<Box<Layered>>,
    }

    #[test]
    fn each_cause_is_said_once() {
        let inner = Layered { text: "no space", source: None };
        let middle = Layered { text: "cannot write `x`: no space", source: Some(Box::new(inner)) };
        let outer = Layered { text: "cannot keep the layer", source: Some(Box::new(middle)) };
        assert_eq!(causes(&outer), "cannot keep the layer: cannot write `x`: no space");
    }
}
