//! `--format`: text with placeholders such as `{{.Name}}`, as `docker images` reads it.
//!
//! Only fields are known, no functions: `{{.Name}}`, `{{json .}}` for a whole row, and the escapes `\t`, `\n` and `\\`. A
//! format that starts with `table` gets a heading and columns.

use crate::failure::Failure;

/// A format that was understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
    layout: Layout,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    /// Position among the fields.
    Field(usize),
    Json,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Layout {
    Lines,
    Table,
}

impl Template {
    /// Reads a format; only `fields` may be named in it.
    pub(crate) fn parse(text: &str, fields: &[&str]) -> Result<Self, Failure> {
        let invalid = |reason: String| {
            Failure::usage(format!("`--format {text}`: {reason}")).with_hint(Some(format!(
                "there are {}",
                fields.iter().map(|field| format!("{{{{.{field}}}}}")).collect::<Vec<_>>().join(" ")
            )))
        };
        if text == "json" {
            return Ok(Self { parts: vec![Part::Json], layout: Layout::Lines });
        }
        let (layout, mut rest) = match text.strip_prefix("table ") {
            Some(rest) => (Layout::Table, rest),
            None => (Layout::Lines, text),
        };
        let mut parts = Vec::new();
        while let Some(start) = rest.find("{{") {
            parts.push(Part::Text(unescape(&rest[..start])));
            let end =
                rest[start..].find("}}").ok_or_else(|| invalid("`{{` without `}}`".to_owned()))? + start;
            let inner = rest[start + 2..end].trim();
            parts.push(match inner.strip_prefix('.') {
                Some(name) => {
                    let known = fields.iter().position(|field| *field == name);
                    Part::Field(known.ok_or_else(|| invalid(format!("unknown field `{name}`")))?)
                }
                None if inner == "json ." => Part::Json,
                None => return Err(invalid(format!("`{{{{{inner}}}}}` is no field"))),
            });
            rest = &rest[end + 2..];
        }
        parts.push(Part::Text(unescape(rest)));
        Ok(Self { parts, layout })
    }

    /// The rows, each the values of all fields in their order.
    pub(crate) fn render(&self, fields: &[&str], rows: &[Vec<String>]) -> String {
        let line = |row: &[String]| {
            let text = self.parts.iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Field(index) => row.get(*index).cloned().unwrap_or_default(),
                Part::Json => json(fields, row),
            });
            text.collect::<String>()
        };
        let lines: Vec<String> = rows.iter().map(|row| line(row)).collect();
        match self.layout {
            Layout::Lines => crate::show::lines(lines.iter()),
            Layout::Table => {
                let heading: Vec<String> = fields.iter().map(|field| heading(field)).collect();
                let all = std::iter::once(line(&heading)).chain(lines);
                crate::show::table(all.map(|line| line.split('\t').map(str::to_owned).collect()).collect())
            }
        }
    }
}

fn json(fields: &[&str], row: &[String]) -> String {
    let object: serde_json::Map<_, _> =
        fields.iter().zip(row).map(|(field, value)| ((*field).to_owned(), value.as_str().into())).collect();
    serde_json::Value::Object(object).to_string()
}

/// `CreatedSince` as the heading of a column: `CREATED SINCE`.
fn heading(field: &str) -> String {
    let mut out = String::new();
    for character in field.chars() {
        // Not before the `D` of `ID`, nor at the start.
        if character.is_ascii_uppercase() && out.ends_with(|last: char| last != 'I') {
            out.push(' ');
        }
        out.push(character.to_ascii_uppercase());
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, false) => out.push(character),
            (_, true) => match characters.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('\\') | None => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&str; 2] = ["Repository", "Size"];

    fn render(format: &str) -> String {
        let row = vec!["shop".to_owned(), "1.2MB".to_owned()];
        Template::parse(format, &FIELDS).unwrap().render(&FIELDS, &[row])
    }

    #[test]
    fn fields_are_replaced_and_escapes_understood() {
        assert_eq!(render(r"{{.Repository}}\t{{ .Size }}!"), "shop\t1.2MB!\n");
    }

    #[test]
    fn a_table_has_a_heading() {
        assert_eq!(render(r"table {{.Repository}}\t{{.Size}}"), "REPOSITORY  SIZE\nshop        1.2MB\n");
    }

    #[test]
    fn a_row_as_json_has_every_field() {
        assert_eq!(render("{{json .}}"), "{\"Repository\":\"shop\",\"Size\":\"1.2MB\"}\n");
        assert_eq!(render("json"), render("{{json .}}"));
    }

    #[test]
    fn unknown_fields_and_open_braces_are_refused() {
        for format in ["{{.Nope}}", "{{.Size", "{{len .Size}}"] {
            assert!(Template::parse(format, &FIELDS).is_err(), "{format}");
        }
    }
}
