//! Both executors against the kernel, as root, with Debian's static busybox as the image and runc as the OCI runtime: every test runs on each,
//! under the names `native::…` and `oci::…`.
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
mod runtime;
mod support;
mod survival;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use support::Kind;

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
        runtime::TESTS,
        outcome::TESTS,
        identity::TESTS,
        isolation::TESTS,
        limits::TESTS,
        mounts::TESTS,
        networking::TESTS,
        survival::TESTS,
    ];
    let mut chosen: Vec<(Kind, String, fn())> = Vec::new();
    for kind in Kind::ALL {
        let all = groups.into_iter().flatten();
        chosen.extend(all.map(|(name, test)| (kind, format!("{}::{name}", kind.name()), *test)));
    }
    chosen.retain(|(_, name, _)| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter)));
    if arguments.iter().any(|argument| argument == "--list") {
        for (_, name, _) in &chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    support::require_root();
    let mut failed = Vec::new();
    for (kind, name, test) in &chosen {
        kind.choose();
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    println!("\ntest result: {} passed; {} failed", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
