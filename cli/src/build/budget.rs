//! `--max-size` and `--max-growth`: sizes as they are printed, and parts of a size.

use farm_proto::budget::{Budget, Growth};

use crate::build::Arguments;
use crate::failure::Failure;

/// The budget that the command line sets.
pub(super) fn budget(arguments: &Arguments, names: usize) -> Result<Budget, Failure> {
    let max_bytes = arguments.max_size.as_deref().map(|text| size("--max-size", text)).transpose()?;
    let max_growth = arguments.max_growth.as_deref().map(growth).transpose()?;
    if max_growth.is_some() && names == 0 {
        return Err(Failure::usage("`--max-growth` compares with the image that has the name now")
            .with_hint(Some("give the image a name with `--tag`")));
    }
    Ok(Budget { max_bytes, max_growth })
}

fn growth(text: &str) -> Result<Growth, Failure> {
    let Some(number) = text.trim().strip_suffix('%') else {
        return size("--max-growth", text).map(Growth::Bytes);
    };
    let hundredths = scaled(number.trim(), 100).and_then(|part| u32::try_from(part).ok());
    let invalid =
        || Failure::usage(format!("`--max-growth {text}`: expected a size or a percentage such as 5%"));
    hundredths.map(Growth::Hundredths).ok_or_else(invalid)
}

/// A size with a decimal unit, as sizes are printed, or with a binary one such as `MiB`.
fn size(option: &str, text: &str) -> Result<u64, Failure> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit: Option<u64> = match unit.trim() {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        "t" | "tb" => Some(1_000_000_000_000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        "tib" => Some(1 << 40),
        _ => None,
    };
    unit.and_then(|unit| scaled(number, unit)).ok_or_else(|| {
        Failure::usage(format!("`{option} {text}`: expected a size such as 500kB, 1.5GB or 200MiB"))
    })
}

/// A decimal number times `unit`; the fraction of the last unit is dropped.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    /// More digits say nothing about any size.
    const DIGITS: usize = 12;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > DIGITS {
        return None;
    }
    let power = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(u128::from(unit))?;
    let fraction = fraction.parse::<u128>().ok()?.checked_mul(u128::from(unit))? / power;
    u64::try_from(whole.checked_add(fraction)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_unless_they_say_otherwise() {
        for (text, bytes) in [
            ("17", 17),
            ("500kB", 500_000),
            ("1.5GB", 1_500_000_000),
            ("200MiB", 200 << 20),
            ("0.5k", 500),
            (" 2 mb ", 2_000_000),
        ] {
            assert_eq!(size("--max-size", text).unwrap(), bytes, "{text}");
        }
        for text in ["", "m", "1.2.3m", "-1", "1 parsec", "99999999999999999999g", "1."] {
            assert!(size("--max-size", text).is_err(), "{text}");
        }
    }

    #[test]
    fn growth_is_a_size_or_a_part() {
        assert_eq!(growth("5%").unwrap(), Growth::Hundredths(500));
        assert_eq!(growth("2.55 %").unwrap(), Growth::Hundredths(255));
        assert_eq!(growth("10MB").unwrap(), Growth::Bytes(10_000_000));
        assert!(growth("%").is_err() && growth("-5%").is_err() && growth("99999999999%").is_err());
    }
}
