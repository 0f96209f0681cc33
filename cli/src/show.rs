//! Printing what a coordinator answered: tables, sizes, times.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use farm_proto::client::Status;
use serde_json::json;

use crate::failure::Failure;
use crate::progress::size;

const MICROS: u64 = 1_000_000;

/// Writes text without what a terminal would act on: a Dockerfile or a registry may have put it there.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    bytes(crate::failure::visible(text).as_bytes())
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).or_else(|error| {
        // Whoever reads may have seen enough, as `head` has.
        if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(closed(error)) }
    })
}

/// Standard output cannot be written to.
#[expect(clippy::needless_pass_by_value, reason = "it takes what `map_err` gives")]
pub(crate) fn closed(error: std::io::Error) -> Failure {
    Failure::environment(format!("cannot write to standard output: {error}"))
}

/// Columns as wide as their widest cell, two spaces apart, without spaces at the end of lines.
pub(crate) fn table(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// A line a value.
pub(crate) fn lines(values: impl Iterator<Item = impl std::fmt::Display>) -> String {
    values.fold(String::new(), |mut out, value| {
        let _infallible = writeln!(out, "{value}");
        out
    })
}

/// A difference of sizes with its sign.
pub(crate) fn change(before: u64, after: u64) -> String {
    match after.cmp(&before) {
        std::cmp::Ordering::Equal => "=".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", size(after - before)),
        std::cmp::Ordering::Less => format!("-{}", size(before - after)),
    }
}

/// How long ago a moment was, in the largest whole unit.
pub(crate) fn ago(nanos: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let then = u64::try_from(nanos / 1_000_000_000).unwrap_or(0);
    let seconds = now.saturating_sub(then);
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// A moment as `YYYY-MM-DD HH:MM:SS` in UTC.
pub(crate) fn date(nanos: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| String::new(), |time| time.strftime("%F %T UTC").to_string())
}

/// A time span as people read it.
pub(crate) fn span(micros: u64) -> String {
    let seconds = micros / MICROS;
    match seconds {
        0..60 => format!("{}.{}s", seconds, micros % MICROS / 100_000),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How a coordinator is.
pub(crate) fn status(status: &Status, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let worker = |worker: &farm_proto::client::WorkerStatus| {
            json!({
                "name": worker.worker, "platform": worker.platform.to_string(), "slots": worker.slots,
                "running": worker.running, "draining": worker.draining, "labels": worker.labels,
            })
        };
        let value = json!({
            "version": status.version, "pid": status.pid, "started": status.started, "state": status.state,
            "running_builds": status.running_builds, "resident_bytes": status.resident_bytes,
            "workers": status.workers.iter().map(worker).collect::<Vec<_>>(),
        });
        return text(&format!("{value}\n"));
    }
    let mut out = format!(
        "version   {}\nprocess   {}\nstarted   {}\nstate     {}\nmemory    {}\nbuilds    {} running\n",
        status.version,
        status.pid,
        ago(status.started),
        status.state,
        size(status.resident_bytes),
        status.running_builds,
    );
    for worker in &status.workers {
        let draining = if worker.draining { ", draining" } else { "" };
        let _infallible = writeln!(
            out,
            "worker    {} ({}): {} running, {} slots{draining}",
            worker.worker, worker.platform, worker.running, worker.slots
        );
    }
    text(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let rows = [["A", "B"], ["long", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(rows.to_vec()), "A     B\nlong\n");
    }

    #[test]
    fn changes_have_a_sign() {
        assert_eq!(change(1000, 1000), "=");
        assert_eq!(change(1000, 3500), "+2.50kB");
        assert_eq!(change(3500, 1000), "-2.50kB");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        assert_eq!([1_540_000, 61_000_000, 3_720_000_000].map(span), ["1.5s", "1m01s", "1h02m"]);
    }
}
