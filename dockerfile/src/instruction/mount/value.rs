//! The notation of a `--mount`: comma-separated fields, and sizes.

use crate::ast::Word;
use crate::diagnostic::Error;

/// Splits at commas; a field in double quotes may hold commas, and `""` in it is a quote (RFC 4180).
pub(super) fn split_fields(word: &Word) -> Result<Vec<String>, Error> {
    let malformed = |what: &str| {
        Error::new(word.span, format!("failed to parse csv mounts: {what}")).with_hint(
            "put double quotes around a whole key and value that holds a comma, as in `\"id=a,b\"`",
        )
    };
    let mut fields = Vec::new();
    let mut rest = word.text.as_str();
    loop {
        let (field, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted).ok_or_else(|| malformed("a quote is not closed"))?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let field = &rest[..end];
            if field.contains('"') {
                return Err(malformed("a quote within a field"));
            }
            (field.to_owned(), &rest[end..])
        };
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(fields),
            None => return Err(malformed("text behind a closing quote")),
        }
    }
}

/// The field up to its closing quote, and what is behind that.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        field.push_str(before);
        match behind.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field, behind)),
        }
    }
}

/// A size in bytes: a number with an optional unit of 1024, such as `1.5g` or `64 MiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let shift = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit) {
        "" if unit == "ib" => return None,
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let digits = &fraction[..fraction.len().min(18)];
    let part: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let total = whole.checked_mul(1 << shift)?.checked_add((part << shift) / scale)?;
    u64::try_from(total).ok().filter(|total| i64::try_from(*total).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_powers_of_1024() {
        assert_eq!(bytes("128m"), Some(128 << 20));
        assert_eq!(bytes("1.5 KiB"), Some(1536));
        assert_eq!(bytes("10"), Some(10));
        assert_eq!(bytes("3B"), Some(3));
        for text in ["", "m", "-1", "1x", "ib", "1ib", "99999999999999999999p", "1.2.3"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
