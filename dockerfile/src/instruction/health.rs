//! `HEALTHCHECK`.

use std::time::Duration;

use farm_model::Healthcheck;

use super::flags::{Flags, Takes};
use crate::ast::{Node, Word};
use crate::diagnostic::Error;

/// `HEALTHCHECK`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health(
    /// What the image's configuration says of it.
    pub Healthcheck,
);

/// The shortest time that Docker takes.
const MINIMUM: Duration = Duration::from_millis(1);

const FLAGS: [(&str, Takes); 5] = [
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];

impl Health {
    pub(super) fn parse(node: &Node) -> Result<Self, Error> {
        let [kind, command @ ..] = node.args.as_slice() else {
            return Err(Error::new(node.span, "HEALTHCHECK requires at least one argument")
                .with_hint("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`"));
        };
        let flags = Flags::parse(node, &FLAGS)?;
        let test = match kind.text.to_ascii_uppercase().as_str() {
            "NONE" if command.is_empty() => {
                return Ok(Self(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() }));
            }
            "NONE" => {
                return Err(Error::new(command[0].span, "HEALTHCHECK NONE takes no arguments")
                    .with_hint("remove what follows `NONE`"));
            }
            "CMD" => test(node, command)?,
            other => {
                return Err(Error::new(
                    kind.span,
                    format!("Unknown type \"{other}\" in HEALTHCHECK (try CMD)"),
                )
                .with_hint("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`"));
            }
        };
        Ok(Self(Healthcheck {
            test,
            interval: interval(&flags, "interval")?,
            timeout: interval(&flags, "timeout")?,
            start_period: interval(&flags, "start-period")?,
            start_interval: interval(&flags, "start-interval")?,
            retries: retries(&flags)?,
        }))
    }
}

fn test(node: &Node, command: &[Word]) -> Result<Vec<String>, Error> {
    if command.is_empty() {
        return Err(Error::new(node.span, "Missing command after HEALTHCHECK CMD")
            .with_hint("write the command that tests the container"));
    }
    let kind = if node.json { "CMD" } else { "CMD-SHELL" };
    let words = command.iter().map(|word| word.text.clone());
    Ok([kind.to_owned()].into_iter().chain(words).collect())
}

fn interval(flags: &Flags, name: &str) -> Result<Duration, Error> {
    let Some(word) = flags.text(name).filter(|word| !word.text.is_empty()) else {
        return Ok(Duration::ZERO);
    };
    let duration = parse_duration(&word.text).ok_or_else(|| {
        Error::new(word.span, format!("invalid duration `{}` for --{name}", word.text))
            .with_hint("write a number with a unit, such as `30s` or `1m30s`")
    })?;
    if duration.is_zero() || duration >= MINIMUM {
        return Ok(duration);
    }
    Err(Error::new(word.span, format!("Interval \"{name}\" cannot be less than 1ms"))
        .with_hint("give at least `1ms`, or `0` for the default"))
}

fn retries(flags: &Flags) -> Result<u32, Error> {
    let Some(word) = flags.text("retries").filter(|word| !word.text.is_empty()) else {
        return Ok(0);
    };
    let number: i32 = word.text.parse().map_err(|_| {
        Error::new(word.span, format!("invalid number `{}` for --retries", word.text))
            .with_hint("write a whole number, such as `3`")
    })?;
    u32::try_from(number).map_err(|_| {
        Error::new(word.span, format!("--retries cannot be negative ({number})")).with_hint("write 0 or more")
    })
}

/// A duration as Go writes it: numbers with units, such as `1h15m30.5s`. Negative ones are refused.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        total = total.checked_add(nanoseconds(number, unit_of(unit)?)?)?;
        rest = behind;
    }
    u64::try_from(total).ok().filter(|total| i64::try_from(*total).is_ok()).map(Duration::from_nanos)
}

fn unit_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn nanoseconds(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits behind the eighteenth are less than a nanosecond of an hour.
    let digits = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let part: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    whole.checked_mul(unit)?.checked_add(part.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let nanos = |text| parse_duration(text).map(|duration| duration.as_nanos());
        assert_eq!(nanos("1m30s"), Some(90_000_000_000));
        assert_eq!(nanos("1.5h"), Some(5_400_000_000_000));
        assert_eq!(nanos(".5ms"), Some(500_000));
        assert_eq!(nanos("0"), Some(0));
        for text in ["", "5", "s", "1x", "-1s", "1..2s", ".s", "99999999999h", "1s2"] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }
}
