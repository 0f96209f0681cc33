//! Runs the project's own conformance cases, `tests/cases/*`, with the real binary.
//!
//! Arguments are texts that a case's name must contain. Jobs run in parallel, each with a farm of its own.

#![expect(clippy::print_stdout, reason = "this is a test harness of its own, and its report is its output")]

use std::env;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use farm_tests::case::Case;
use farm_tests::farm::Farm;

fn main() -> ExitCode {
    // cargo hands the options of its own harness to every test binary.
    let filters: Vec<_> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases = match Case::all(&directory) {
        Ok(cases) => cases,
        Err(error) => {
            println!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let total = cases.len();
    cases.retain(|case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter)));
    let started = Instant::now();
    let failures = run(&cases);
    for (name, problems) in &failures {
        println!("\n---- {name}\n{}", problems.join("\n"));
    }
    let (passed, state) = (cases.len() - failures.len(), if failures.is_empty() { "ok" } else { "FAILED" });
    println!(
        "\ntest result: {state}. {passed} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s",
        failures.len(),
        total - cases.len(),
        started.elapsed().as_secs_f64(),
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(cases: &[Case]) -> Vec<(String, Vec<String>)> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    println!("\nrunning {} cases", cases.len());
    thread::scope(|scope| {
        for _ in 0..jobs() {
            scope.spawn(|| {
                let farm = Farm::new();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let problems = case.run(&farm).unwrap_or_else(|error| vec![error]);
                    println!("case {} ... {}", case.name, if problems.is_empty() { "ok" } else { "FAILED" });
                    if !problems.is_empty() {
                        failures
                            .lock()
                            .expect("no job panics while it holds the list")
                            .push((case.name.clone(), problems));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no job panics while it holds the list");
    failures.sort();
    failures
}

fn jobs() -> usize {
    let wanted = env::var("FARM_TEST_JOBS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get))
}
