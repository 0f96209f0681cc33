//! Running an OCI runtime: `create`, so that its failures are told apart from the command's, then `start`. The arguments are those that
//! container engines use, which every runtime therefore takes.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::bundle::Bundle;
use super::{Request, internal, report};
use crate::spec::{CellSpec, Failure, Report};
use crate::sys::{self, Child, Parent};

/// A container in the hands of a runtime.
pub(super) struct Created {
    runtime: Runtime,
    /// The process that becomes the command, a child of this one by now.
    pub(super) command: i32,
}

/// The process that lets the command run.
pub(super) struct Starter {
    runtime: Runtime,
    child: Child,
}

struct Runtime {
    program: PathBuf,
    bundle: Bundle,
    /// The name of the container; unique on the machine, in case the runtime looks beyond its own state.
    id: String,
}

/// Where the output of a runtime goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Streams {
    /// To the step's, which the command inherits.
    OfTheStep,
    Nowhere,
}

/// Has the runtime make the container.
pub(super) fn create(
    program: &Path,
    bundle: Bundle,
    cell: &CellSpec,
    request: &Request,
    control: &UnixStream,
) -> Result<Created, Report> {
    let id = cell.groups.trim_start_matches('/').replace('/', "-");
    let runtime = Runtime { program: program.to_owned(), bundle, id };
    let pid_file = runtime.bundle.path.join("pid");
    let mut arguments = vec![text("create"), text("--bundle"), path(&runtime.bundle.path)];
    arguments.extend([text("--pid-file"), path(&pid_file), text(&runtime.id)]);
    let child = runtime.run(arguments, Streams::OfTheStep, control)?;
    let waited = sys::wait(child.pid).map_err(|e| internal("wait for the runtime", e))?;
    if waited.status != 0 {
        return Err(runtime.failed("create", waited.status));
    }
    let pid = fs::read_to_string(&pid_file).ok().and_then(|pid| pid.trim().parse().ok());
    let command = pid.ok_or_else(|| runtime.problem("`create` left no process id".to_owned()))?;
    for (file, value) in &request.spec.late {
        rustix::io::write(request.fd(*file)?, value.as_bytes())
            .map_err(|e| Failure::environment(format!("set a limit to {value}"), e))?;
    }
    Ok(Created { runtime, command })
}

impl Created {
    /// Has the runtime let the command run.
    pub(super) fn start(self, control: &UnixStream) -> Result<Starter, Report> {
        let arguments = vec![text("start"), text(&self.runtime.id)];
        let child = self.runtime.run(arguments, Streams::Nowhere, control)?;
        Ok(Starter { runtime: self.runtime, child })
    }
}

impl Starter {
    /// Why the end of a process means that the command never runs.
    pub(super) fn failure(&self, ended: &sys::Waited) -> Option<Report> {
        let has_failed = ended.pid == self.child.pid && ended.status != 0;
        has_failed.then(|| self.runtime.failed("start", ended.status))
    }
}

impl Runtime {
    /// Starts the runtime.
    fn run(&self, arguments: Vec<CString>, streams: Streams, control: &UnixStream) -> Result<Child, Report> {
        let mut argv = vec![path(&self.program), text("--root"), path(&self.bundle.state)];
        argv.extend([text("--log"), path(&self.log()), text("--log-format"), text("json")]);
        argv.extend(arguments);
        match sys::fork_with(0, Parent::This) {
            Ok(Some(child)) => Ok(child),
            Ok(None) => {
                let problem = match prepare(streams) {
                    Ok(()) => sys::execve(&argv[0], &argv, &[text(PATH)]),
                    Err(error) => error,
                };
                report(control, &self.problem(format!("cannot be executed: {problem}")));
                sys::exit_now(127);
            }
            Err(error) => Err(Failure::environment("start a process", error).into()),
        }
    }

    fn log(&self) -> PathBuf {
        self.bundle.path.join("log.json")
    }

    /// What the runtime wrote to its log, or how it ended.
    fn failed(&self, action: &str, status: i32) -> Report {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let why = last_error(&log).unwrap_or_else(|| ExitStatus::from_raw(status).to_string());
        self.problem(format!("`{action}` failed: {why}"))
    }

    fn problem(&self, problem: String) -> Report {
        Report::RuntimeFailed { runtime: self.program.display().to_string(), problem }
    }
}

/// Runtimes that start other programs look for them here.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn prepare(streams: Streams) -> std::io::Result<()> {
    sys::reset_signals();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if streams == Streams::Nowhere {
        rustix::stdio::dup2_stdout(rustix::stdio::stdin())?;
        rustix::stdio::dup2_stderr(rustix::stdio::stdin())?;
    }
    sys::close_others_on_exec()
}

/// The last error of a log that has a JSON object a line.
fn last_error(log: &str) -> Option<String> {
    let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut errors = lines.filter(|line| matches!(line["level"].as_str(), Some("error" | "fatal" | "panic")));
    errors.find_map(|line| line["msg"].as_str().map(|message| message.trim().to_owned()))
}

fn text(text: &str) -> CString {
    CString::new(text).expect("a name of ours has no zero byte")
}

fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path that was opened has no zero byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_found_among_other_lines() {
        let log = "{\"level\":\"error\",\"msg\":\"first\"}\nnot json\n{\"level\":\"error\",\"msg\":\"second \"}\n\
                   {\"level\":\"info\",\"msg\":\"later\"}\n[]\n";
        assert_eq!(last_error(log).as_deref(), Some("second"));
        assert_eq!(last_error("plain words\n"), None);
    }
}
