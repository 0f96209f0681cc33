//! Quantities as people read them.

/// A size with three significant digits, in decimal units as registries count.
pub fn decimal_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1000 && unit + 1 < UNITS.len() {
        rest = whole % 1000;
        whole /= 1000;
        unit += 1;
    }
    match (unit, whole) {
        (0, _) | (_, 100..) => format!("{whole}{}", UNITS[unit]),
        (_, 10..) => format!("{whole}.{}{}", rest / 100, UNITS[unit]),
        _ => format!("{whole}.{:02}{}", rest / 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        assert_eq!(decimal_size(999), "999B");
        assert_eq!(decimal_size(1_234), "1.23kB");
        assert_eq!(decimal_size(12_345_678), "12.3MB");
        assert_eq!(decimal_size(123_456_789_000), "123GB");
    }
}
