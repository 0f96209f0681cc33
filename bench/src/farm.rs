//! The `farm` binary under measurement, with a state directory and a daemon that nobody else uses.
//!
//! The first build starts the daemon; what is measured finds it running, unless it is about just that. It is stopped when
//! the farm is dropped.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::Error;
use crate::progress::{self, End, Step};

/// How long a daemon may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which binary, and where its states live.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The program.
    pub program: PathBuf,
    /// Below which directory states are made; it decides which file system is measured. Whoever gives it removes it when
    /// everything is measured, and not before: ext4 makes new files slowly for minutes after many were deleted nearby.
    pub scratch: PathBuf,
}

/// A farm with a store and a daemon of its own.
#[derive(Debug)]
pub struct Farm {
    program: PathBuf,
    root: PathBuf,
}

/// One finished build.
#[derive(Clone, Debug)]
pub struct Run {
    /// From starting the process to its end.
    pub wall: Duration,
    /// User and system time of the client, the daemon and all that they waited for; the kernel counts in ticks of 10 ms.
    pub cpu: Duration,
    /// What it said about its steps.
    pub steps: Vec<Step>,
}

/// What became of a build that was to be killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Killed {
    /// It was killed after so many steps.
    InTheMiddle,
    /// It had ended by itself.
    TooLate,
}

impl Binary {
    /// A farm with an empty store.
    pub fn start(&self) -> Result<Farm, Error> {
        let root = tempfile::Builder::new()
            .prefix("farm-measure-")
            .tempdir_in(&self.scratch)
            .map_err(Error::file("create a directory in", &self.scratch))?
            .keep();
        for name in ["state", "run", "empty"] {
            let path = root.join(name);
            fs::create_dir(&path).map_err(Error::file("create", &path))?;
        }
        Ok(Farm { program: self.program.clone(), root })
    }
}

impl Farm {
    /// Builds a context with these further arguments.
    pub fn build(&self, context: &Path, arguments: &[&str]) -> Result<Run, Error> {
        let mut command = self.command(context, arguments);
        command.stdin(Stdio::null());
        let daemon = self.daemon();
        let (before, started) = (waited_for() + spent_by(daemon), Instant::now());
        let output = command.output().map_err(Error::file("start", &self.program))?;
        let wall = started.elapsed();
        // Of a daemon that was only started now everything counts.
        let cpu = (waited_for() + spent_by(self.daemon())).saturating_sub(before);
        let text = expect_success(&command, &output)?;
        Ok(Run { wall, cpu, steps: progress::steps(&text) })
    }

    /// Pulls a base image and makes it ready to run in, so that no measured build has to.
    pub fn prime(&self, base: &str) -> Result<(), Error> {
        let mut command = self.command(&self.path("empty"), &["--file", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(Error::file("start", &self.program))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A farm that did not read its input has failed, and says why below.
            let _broken_pipe = writeln!(stdin, "FROM {base}\nRUN true");
        }
        let output = child.wait_with_output().map_err(Error::file("wait for", &self.program))?;
        expect_success(&command, &output).map(drop)
    }

    /// Starts a build and kills the daemon under it once so many steps are done; the client is killed first, or it would
    /// start another daemon and go on.
    pub fn build_and_kill(&self, context: &Path, arguments: &[&str], after: usize) -> Result<Killed, Error> {
        let mut command = self.command(context, arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(Error::file("start", &self.program))?;
        let end = kill_after(&mut child, after);
        // Also the way that an error leaves no process behind.
        let killed = child.kill();
        child.wait().map_err(Error::file("wait for", &self.program))?;
        killed.map_err(Error::file("kill", &self.program))?;
        if let Some(daemon) = self.daemon() {
            rustix::process::kill_process(daemon, Signal::KILL)
                .map_err(|error| Error::file("kill the daemon of", &self.program)(error.into()))?;
            await_end(daemon);
        }
        Ok(end)
    }

    /// Stops the daemon; the next build starts another. Nothing happens when none runs.
    pub fn stop(&self) -> Result<(), Error> {
        let Some(daemon) = self.daemon() else { return Ok(()) };
        let mut command = self.plain(&["daemon", "stop"]);
        let output = command.output().map_err(Error::file("start", &self.program))?;
        expect_success(&command, &output)?;
        await_end(daemon);
        Ok(())
    }

    /// Bytes of memory that the daemon occupies; none when none runs.
    pub fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(process(self.daemon()?, "status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// The process that serves this farm, while there is one.
    fn daemon(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.path("run/daemon/endpoint")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("pid = "))?;
        let pid = Pid::from_raw(line.trim().parse().ok()?)?;
        process(pid, "stat").exists().then_some(pid)
    }

    /// Mounts of this farm that exist now.
    pub fn mounts(&self) -> Result<u64, Error> {
        let path = Path::new("/proc/self/mountinfo");
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        let root = self.root.to_string_lossy();
        let count = text.lines().filter(|line| line.contains(root.as_ref())).count();
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// A path beside the store, on the same file system.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn command(&self, context: &Path, arguments: &[&str]) -> Command {
        let mut command = self.plain(&["build", "--progress", "plain"]);
        command.args(arguments).arg(context);
        command
    }

    fn plain(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .env("FARM_STATE_DIR", self.path("state"))
            .env("FARM_RUNTIME_DIR", self.path("run"))
            .env_remove("SOURCE_DATE_EPOCH")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            crate::report::complain(&error);
        }
    }
}

impl Run {
    /// How long each step ran that did run, by farm's own clock.
    pub fn ran(&self) -> impl Iterator<Item = Duration> {
        self.steps.iter().filter_map(|step| match step.end {
            End::Done { took, .. } => Some(took),
            End::Cached | End::Unknown => None,
        })
    }

    /// How long the last step whose title contains `word` took after its command had ended.
    pub fn commit(&self, word: &str) -> Option<Duration> {
        let step = self.steps.iter().rev().find(|step| step.title.contains(word))?;
        match step.end {
            End::Done { took, command } => Some(took.saturating_sub(command?)),
            End::Cached | End::Unknown => None,
        }
    }

    /// Steps for which an earlier result was used.
    pub fn cached(&self) -> u64 {
        let count = self.steps.iter().filter(|step| step.end == End::Cached).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// What a build printed, if it succeeded.
fn expect_success(command: &Command, output: &Output) -> Result<String, Error> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let lines: Vec<_> = text.lines().collect();
    let log = lines[lines.len().saturating_sub(20)..].join("\n");
    Err(Error::Build { arguments: words.join(" "), status: output.status.to_string(), log })
}

fn kill_after(child: &mut Child, steps: usize) -> Killed {
    let Some(stderr) = child.stderr.take() else { return Killed::TooLate };
    let done = BufReader::new(stderr).lines().map_while(Result::ok).filter(|line| line.contains(" DONE "));
    // What is left unread is lost with the pipe, which is of no matter to a process about to be killed.
    if done.take(steps).count() == steps { Killed::InTheMiddle } else { Killed::TooLate }
}

/// A file that the kernel shows about a process.
fn process(pid: Pid, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(name)
}

/// Waits until a process that was asked to end, or killed, is gone. It is not ours to wait for otherwise.
fn await_end(pid: Pid) {
    let started = Instant::now();
    while process(pid, "stat").exists() && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Processor time of children that ended and were waited for.
fn waited_for() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    ticks(&stat, &[13, 14])
}

/// Processor time of a process and of what it waited for.
fn spent_by(pid: Option<Pid>) -> Duration {
    let stat = pid.and_then(|pid| fs::read_to_string(process(pid, "stat")).ok()).unwrap_or_default();
    ticks(&stat, &[11, 12, 13, 14])
}

/// The sum of some fields of a `stat` file, counted after the program's name, which may hold spaces (see proc(5)).
fn ticks(stat: &str, fields: &[usize]) -> Duration {
    let words: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let field = |index: &usize| words.get(*index).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let ticks: u64 = fields.iter().map(field).sum();
    Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_tells_its_steps_apart() {
        let step = |title: &str, end| Step { title: title.to_owned(), end };
        let run = Run {
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            steps: vec![
                step("COPY a", End::Cached),
                step("RUN b", End::Done { took: Duration::from_millis(5), command: None }),
                step(
                    "RUN c",
                    End::Done { took: Duration::from_millis(7), command: Some(Duration::from_millis(4)) },
                ),
            ],
        };
        assert_eq!((run.cached(), run.ran().count()), (1, 2));
        assert_eq!((run.commit("RUN"), run.commit("COPY")), (Some(Duration::from_millis(3)), None));
    }
}
