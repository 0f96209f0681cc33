//! A node as an s-expression, for tests and for people who wonder how a line was split.

use std::fmt::Write;

use crate::ast::{Ast, Node};

impl Ast {
    /// The nodes, each in parentheses on a line of its own: `(copy ["--link"] "a" "/")`.
    #[must_use]
    pub fn dump(&self) -> String {
        self.nodes.iter().fold(String::new(), |mut out, node| {
            out.push('(');
            out.push_str(&node.dump());
            out.push_str(")\n");
            out
        })
    }
}

impl Node {
    /// The name, the flags in brackets, and the arguments in quotes.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut out = self.keyword.clone();
        if !self.flags.is_empty() {
            let flags: Vec<_> = self.flags.iter().map(|flag| quoted(&flag.text)).collect();
            out.push_str(" [");
            out.push_str(&flags.join(" "));
            out.push(']');
        }
        if let Some(inner) = &self.onbuild {
            out.push_str(" (");
            out.push_str(&inner.dump());
            out.push(')');
        }
        for arg in &self.args {
            out.push(' ');
            out.push_str(&quoted(&arg.text));
        }
        out
    }
}

/// A string literal with the escapes of Go.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => push_code(&mut out, 'x', 2, c),
            c if c.is_control() || (c.is_whitespace() && c != ' ') => push_code(&mut out, 'u', 4, c),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn push_code(out: &mut String, kind: char, width: usize, c: char) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\\{kind}{:0width$x}", u32::from(c));
}
