//! Numbers and text as a console shows them: short, and of a width that is known.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A size with three significant digits, in decimal units as registries count.
pub fn size(bytes: u64) -> String {
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

/// A time span in at most six cells: `0.4s`, `12.3s`, `4m05s`, `2h10m`, `3d04h`.
pub fn span(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..100 => format!("{seconds}.{}s", micros / 100_000 % 10),
        100..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How long ago a time was, in whole units: `5s`, `4m`, `2h`, `3d`.
pub fn ago(now: i64, then: i64) -> String {
    let seconds = now.saturating_sub(then).max(0) / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The time of day in UTC, `18:04:05`.
pub fn time_of_day(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The date in UTC, `2026-11-21`.
pub fn date(nanos: i64) -> String {
    // Days to a civil date, with the year beginning in March so that the leap day comes last.
    let days = nanos.div_euclid(86_400_000_000_000) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2))
}

/// A part from 0 to 1 as `87%`.
pub fn percent(part: f64) -> String {
    format!("{:.0}%", part.clamp(0.0, 1.0) * 100.0)
}

/// How many cells a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut so that it takes at most so many cells; what was cut ends in `ellipsis`, one cell wide.
pub fn clip<'a>(text: &'a str, most: usize, ellipsis: &str) -> Cow<'a, str> {
    if text.len() <= most || text.width() <= most {
        return Cow::Borrowed(text);
    }
    let Some(room) = most.checked_sub(1) else { return Cow::Borrowed("") };
    let (mut used, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        let wide = c.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        used += wide;
        end = at + c.len_utf8();
    }
    Cow::Owned(format!("{}{ellipsis}", &text[..end]))
}

/// As [`clip`], but the end is kept: for paths and names whose end tells them apart.
pub fn clip_start<'a>(text: &'a str, most: usize, ellipsis: &str) -> Cow<'a, str> {
    if text.len() <= most || text.width() <= most {
        return Cow::Borrowed(text);
    }
    let Some(room) = most.checked_sub(1) else { return Cow::Borrowed("") };
    let (mut used, mut start) = (0, text.len());
    for (at, c) in text.char_indices().rev() {
        let wide = c.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        used += wide;
        start = at;
    }
    Cow::Owned(format!("{ellipsis}{}", &text[start..]))
}

/// The first line of a text, without what a terminal would act on.
pub fn first_line(text: &str) -> Cow<'_, str> {
    crate::state::text::harmless(text.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([size(999), size(1000), size(45_600_000)], ["999B", "1.00kB", "45.6MB"]);
        let spans = [400_000, 12_300_000, 245_000_000, 7_800_000_000, 273_600_000_000].map(span);
        assert_eq!(spans, ["0.4s", "12.3s", "4m05s", "2h10m", "3d04h"]);
        assert_eq!(ago(100_000_000_000, 0), "1m");
        assert_eq!((percent(0.874).as_str(), time_of_day(3_661_000_000_000).as_str()), ("87%", "01:01:01"));
        assert_eq!(date(1_795_286_400_000_000_000), "2026-11-21");
        assert_eq!(date(951_782_400_000_000_000), "2000-02-29");
        assert_eq!(size(u64::MAX), "18446PB");
        assert_eq!(span(u64::MAX).len(), 13);
    }

    #[test]
    fn text_is_cut_by_cells() {
        assert_eq!(clip("plain", 5, "…"), "plain");
        assert_eq!(clip("plainer", 5, "…"), "plai…");
        assert_eq!(clip("漢字漢字", 5, "…"), "漢字…");
        assert_eq!(clip("漢字漢字", 4, "…"), "漢…");
        assert_eq!(clip_start("a/long/path", 5, "…"), "…path");
        assert_eq!((clip("ab", 0, "…"), clip("ab", 1, "…")), ("".into(), "…".into()));
    }
}
