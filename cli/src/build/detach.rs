//! `farm build --detach`: a process in the background keeps the build's session.
//!
//! It is this binary again, in a session of its own and with none of the caller's streams, so that nobody who waits for
//! the end of a stream waits for the build. The command returns once the coordinator has the build.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use farm_model::BuildId;

use crate::build::{Arguments, draw};
use crate::failure::Failure;
use crate::progress;

/// Tells the process in the background which build is its own.
const VARIABLE: &str = "FARM_DETACHED_BUILD";
/// The most that is shown of what a process in the background complained about.
const COMPLAINT: u64 = 64 << 10;

/// Where this process stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// The user waits for it.
    Attached,
    /// It runs in the background, for this build.
    Detached(BuildId),
    /// It has started one in the background, and is done.
    Launched,
}

/// Finds out where this process stands, and starts one in the background where that is asked for.
pub(super) fn standing(arguments: &Arguments) -> Result<Standing, Failure> {
    if !arguments.detach {
        return Ok(Standing::Attached);
    }
    if let Ok(text) = std::env::var(VARIABLE) {
        let build = text.parse().map_err(|error| Failure::usage(format!("`{VARIABLE}`: {error}")))?;
        // Fails only for one that leads a session already.
        let _leads = rustix::process::setsid();
        return Ok(Standing::Detached(build));
    }
    check(arguments)?;
    launch(draw()?)?;
    Ok(Standing::Launched)
}

/// What needs the caller's streams cannot go on without them.
fn check(arguments: &Arguments) -> Result<(), Failure> {
    let standard_input = Path::new("-");
    if arguments.context == standard_input || arguments.file.as_deref() == Some(standard_input) {
        return Err(Failure::usage("`--detach` does not go with standard input")
            .with_hint(Some("put the context into a directory")));
    }
    Ok(())
}

fn launch(build: BuildId) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::environment(format!("cannot start a process in the background: {error}"))
    };
    let mut child = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, build.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).map_err(failed)?;
    }
    if line.trim_end() == build.to_string() {
        return progress::print(line.trim_end())
            .map_err(|error| Failure::environment(format!("cannot write to standard output: {error}")));
    }
    Err(complaint(child))
}

/// What a process that ended too early had to say.
fn complaint(mut child: Child) -> Failure {
    let mut text = String::new();
    if let Some(pipe) = child.stderr.take() {
        // What cannot be read is not shown; the exit code still is.
        let _unreadable = pipe.take(COMPLAINT).read_to_string(&mut text);
    }
    let code = child.wait().ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    match code {
        Some(code) if !text.trim().is_empty() && code != 0 => Failure::of_build(code, text),
        _ => Failure::internal("the process in the background ended before the build began"),
    }
}

impl Standing {
    /// Tells whoever started this process that the build has begun, and lets go of the streams to it.
    pub(super) fn announce(&self) {
        let Self::Detached(build) = self else { return };
        let mut out = std::io::stdout().lock();
        // Whoever has gone meanwhile finds the build in the list.
        let _gone = writeln!(out, "{build}").and_then(|()| out.flush());
        if let Ok(nothing) = OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _kept =
                rustix::stdio::dup2_stdout(&nothing).and_then(|()| rustix::stdio::dup2_stderr(&nothing));
        }
    }
}
