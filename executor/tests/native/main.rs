//! The native executor against the kernel, as root, with Debian's static busybox as the image.
//!
//! Its own `main`, because the helper must be entered before any thread starts, and because some tests look at the whole machine for
//! leaks and so must not run beside others.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, which clippy does not see without the usual harness"
)]
#![expect(clippy::assigning_clones, reason = "a value that is read beats one that is reused")]

mod identity;
mod isolation;
mod limits;
mod mounts;
mod networking;
mod outcome;
mod support;
mod survival;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A name that is a sentence, and what makes it true.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    farm_executor::init_entry();
    if let Some(code) = survival::worker_entry() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = mounts::client(&arguments) {
        return code;
    }
    let arguments = &arguments[1..];
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let groups = [
        outcome::TESTS,
        identity::TESTS,
        isolation::TESTS,
        limits::TESTS,
        mounts::TESTS,
        networking::TESTS,
        survival::TESTS,
    ];
    let chosen: Vec<Test> = groups
        .into_iter()
        .flatten()
        .copied()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in &chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    support::require_root();
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(*name);
        }
    }
    println!("\ntest result: {} passed; {} failed", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
