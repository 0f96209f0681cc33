//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Error;
use crate::farm::Run;
use crate::samples::Samples;

/// Everything that one invocation measured.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order they were measured.
    pub rows: Vec<Row>,
}

/// One kind of run of one scenario, repeated.
#[derive(Debug)]
pub struct Row {
    /// The workload's name.
    pub scenario: &'static str,
    /// Which of its runs.
    pub run: &'static str,
    /// From start to end.
    pub wall: Samples,
    /// Processor time; the same number of samples, or none where nobody asked.
    pub cpu: Samples,
    /// What follows from them.
    pub figures: Vec<Figure>,
}

/// A number that follows from samples of the same run of this program.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it says.
    pub name: &'static str,
    /// How much.
    pub value: Quantity,
}

/// A value with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// A time.
    Time(Duration),
    /// How many times as long as what the name says.
    Ratio(f64),
    /// How many.
    Count(u64),
    /// How much memory.
    Bytes(u64),
}

/// The state of the machine at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Machine {
    cores: usize,
    load: String,
}

impl Row {
    /// A row of finished builds.
    pub fn of(scenario: &'static str, run: &'static str, runs: &[Run]) -> Self {
        let wall = runs.iter().map(|run| run.wall).collect();
        let cpu = runs.iter().map(|run| run.cpu).collect();
        Self { scenario, run, wall, cpu, figures: Vec::new() }
    }

    /// Adds a figure, unless there is none.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Option<Quantity>) -> Self {
        self.figures.extend(value.map(|value| Figure { name, value }));
        self
    }

    fn line(&self) -> String {
        let cell = |duration: Option<Duration>| duration.map_or_else(|| "-".to_owned(), millis);
        let mut line = format!(
            "{:8} {:20} {:>3} {:>10} {:>10} {:>10} {:>10}",
            self.scenario,
            self.run,
            self.wall.in_order().len(),
            cell(self.wall.median()),
            cell(self.wall.least()),
            cell(self.wall.most()),
            cell(self.cpu.median()),
        );
        for figure in &self.figures {
            let _infallible = write!(line, "\n{:9}{} {}", "", figure.value, figure.name);
        }
        line
    }

    fn json(&self) -> Value {
        let list = |samples: &Samples| -> Vec<f64> {
            samples.in_order().iter().map(|sample| sample.as_secs_f64() * 1e3).collect()
        };
        let median = |samples: &Samples| samples.median().map(|median| median.as_secs_f64() * 1e3);
        let figures: Vec<_> = self.figures.iter().map(Figure::json).collect();
        json!({
            "scenario": self.scenario,
            "run": self.run,
            "wall_ms": list(&self.wall),
            "wall_median_ms": median(&self.wall),
            "cpu_ms": list(&self.cpu),
            "cpu_median_ms": median(&self.cpu),
            "figures": figures,
        })
    }
}

impl Figure {
    fn json(&self) -> Value {
        let (unit, value) = match self.value {
            Quantity::Time(time) => ("ms", json!(time.as_secs_f64() * 1e3)),
            Quantity::Ratio(ratio) => ("ratio", json!(ratio)),
            Quantity::Count(count) => ("count", json!(count)),
            Quantity::Bytes(bytes) => ("bytes", json!(bytes)),
        };
        json!({ "name": self.name, "value": value, "unit": unit })
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(time) => write!(formatter, "{:>10} ms", millis(*time)),
            Self::Ratio(ratio) => write!(formatter, "{ratio:>10.2} x "),
            Self::Count(count) => write!(formatter, "{count:>10}   "),
            Self::Bytes(bytes) => write!(formatter, "{:>10} MB", bytes / 1_000_000),
        }
    }
}

impl Machine {
    /// As it is now.
    pub fn now() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned();
        Self { cores: thread::available_parallelism().map_or(1, NonZero::get), load }
    }

    /// One line about it.
    pub fn line(&self) -> String {
        format!("load {} on {} cores", self.load, self.cores)
    }

    fn json(&self) -> Value {
        json!({ "cores": self.cores, "load": self.load })
    }
}

impl Report {
    /// The table's head, above what [`Report::push`] prints.
    pub fn heading() -> String {
        format!(
            "{:8} {:20} {:>3} {:>10} {:>10} {:>10} {:>10}",
            "SCENARIO", "RUN", "N", "MEDIAN ms", "MIN ms", "MAX ms", "CPU ms"
        )
    }

    /// Adds a row and gives the lines that show it.
    pub fn push(&mut self, row: Row) -> String {
        let line = row.line();
        self.rows.push(row);
        line
    }

    /// The whole report for programs; times are in milliseconds.
    pub fn json(&self, before: &Machine, after: &Machine) -> Value {
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        json!({ "version": 1, "before": before.json(), "after": after.json(), "rows": rows })
    }
}

/// Milliseconds with one decimal.
fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}

/// Says on standard error why a program ends early.
pub fn complain(error: &Error) {
    let mut text = format!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _infallible = write!(text, ": {error}");
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        let _infallible = write!(text, "\nhint: {hint}");
    }
    // Nobody is left to tell if standard error is closed.
    let _closed = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_its_median_and_figures() {
        let samples: Samples = [3, 1, 2].map(Duration::from_millis).into_iter().collect();
        let row =
            Row { scenario: "m2", run: "cold", wall: samples.clone(), cpu: samples, figures: Vec::new() }
                .with("times hashing", Some(Quantity::Ratio(1.5)))
                .with("absent", None);
        let mut report = Report::default();
        let text = report.push(row);
        assert!(
            text.lines().next().unwrap().ends_with("3        2.0        1.0        3.0        2.0"),
            "{text}"
        );
        assert!(text.ends_with("1.50 x  times hashing"), "{text}");
        let machine = Machine::now();
        let json = report.json(&machine, &machine);
        assert_eq!(json["rows"][0]["wall_median_ms"], 2.0);
        assert_eq!(json["rows"][0]["figures"][0]["unit"], "ratio");
    }
}
