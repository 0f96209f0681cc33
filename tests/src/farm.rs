//! The real `farm` binary with directories of its own, in the topology that `FARM_TOPOLOGY` asks for.
//!
//! The binary, the base images and the registry that serves them are handed in by the environment, as `scripts/test` sets it:
//! `FARM_BIN`, `FARM_BASES`, `FARM_REGISTRY`, `FARM_CONFIG`.

mod handed_in;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

pub use handed_in::{base_files, base_layout, binary, registry};

use crate::filesystem::Filesystem;
use crate::image::Image;
use crate::topology::network::enter;
use crate::topology::processes::{Processes, Settings, all_directories};
use crate::topology::{Directories, Topology, daemon, leftovers};

/// How long processes that nobody was told to end, such as a build in the background, may take to notice that the farm is gone.
const PARTING: Duration = Duration::from_secs(15);

/// A farm that nobody else uses. Its processes end and its directories go away with the value; whatever was left behind fails
/// the test.
#[derive(Debug)]
pub struct Farm {
    root: TempDir,
    topology: Topology,
    configuration: Option<PathBuf>,
    namespace: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    processes: Option<Processes>,
    services: Vec<SocketAddr>,
}

/// One `farm build` to be run.
#[derive(Debug)]
pub struct Build<'a> {
    farm: &'a Farm,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    output: Output,
}

#[derive(Debug)]
enum Output {
    Oci(PathBuf),
    AsGiven,
}

/// A command that runs.
#[derive(Debug)]
pub struct Started {
    pid: u32,
    output: thread::JoinHandle<std::io::Result<std::process::Output>>,
    archive: Option<PathBuf>,
}

/// What a finished `farm build` left.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output and error, one after the other.
    pub log: String,
    /// Standard output alone.
    pub stdout: String,
    archive: Option<PathBuf>,
}

impl Farm {
    /// A farm with an empty store.
    pub fn new() -> Self {
        Self::of(Topology::chosen())
    }

    fn configuration_text(&self) -> String {
        let file = self.configuration.clone().or_else(|| Some(env::var_os("FARM_CONFIG")?.into()));
        file.map(fs::read_to_string).transpose().expect("the configuration can be read").unwrap_or_default()
    }

    /// A farm whose processes read this `farm.toml` beside the one of the environment.
    pub fn configured(text: &str) -> Self {
        Self::new().with_configuration(text)
    }

    /// The same for one that no command has started yet.
    #[must_use]
    pub fn with_configuration(mut self, text: &str) -> Self {
        let given = self.configuration_text();
        let file = self.scratch("farm.toml");
        // Top-level keys have to come before the first table.
        let first_table =
            given.lines().take_while(|line| !line.starts_with('[')).map(|line| line.len() + 1).sum();
        let (keys, tables) = given.split_at(given.len().min(first_table));
        fs::write(&file, format!("{keys}\n{text}\n{tables}")).expect("a file in a temporary directory");
        self.configuration = Some(file);
        self
    }

    /// For what is a matter of topology: most tests run in whichever is chosen.
    pub fn of(topology: Topology) -> Self {
        let root = tempfile::Builder::new().prefix("farm-e2e-").tempdir().expect("a temporary directory");
        Self { root, topology, configuration: None, namespace: None, inner: Mutex::default() }
    }

    /// The same in this network namespace, client and daemon alike.
    #[must_use]
    pub fn in_network(mut self, namespace: &Path) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// A build with plain progress whose result is an OCI archive, to be read with [`Outcome::image`].
    pub fn build(&self, context: impl AsRef<OsStr>) -> Build<'_> {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let archive = self.root.path().join(format!("image-{number}.tar"));
        self.bare(&["build", "--progress", "plain"], Output::Oci(archive)).argument(context)
    }

    /// A command line of the test's own making.
    pub fn command(&self, arguments: &[&str]) -> Build<'_> {
        self.bare(arguments, Output::AsGiven)
    }

    /// A program in the place of a client: its network, its environment.
    pub fn client(&self, program: &Path) -> Command {
        let mut command = match self.topology {
            Topology::Daemon => {
                let mut command = match &self.namespace {
                    Some(namespace) => {
                        let mut command = enter(namespace);
                        command.arg(program);
                        command
                    }
                    None => Command::new(program),
                };
                command.envs(self.directories()[0].variables());
                command.env_remove("FARM_COORDINATOR").env_remove("FARM_CERTIFICATES");
                command
            }
            Topology::Processes => self.client_of_processes(program),
        };
        if let Some(configuration) = &self.configuration {
            command.env("FARM_CONFIG", configuration);
        }
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Makes a service on our loopback reachable for every process of the farm, under the same address.
    pub fn reach(&self, address: &str) {
        let address = address.parse().expect("an address with a port");
        let mut inner = self.lock();
        if inner.services.contains(&address) {
            return;
        }
        inner.services.push(address);
        if let Some(processes) = &mut inner.processes {
            processes.reach(address).expect("a listener in a namespace");
        }
    }

    /// The directories of every process.
    pub fn directories(&self) -> Vec<Directories> {
        match self.topology {
            Topology::Daemon => vec![Directories::of(self.root.path(), "daemon")],
            Topology::Processes => all_directories(self.root.path()),
        }
    }

    /// Every file that any process keeps.
    pub fn kept_files(&self) -> Vec<PathBuf> {
        let places = self.directories().into_iter().flat_map(|own| [own.state(), own.runtime(), own.log()]);
        places.flat_map(|place| if place.is_file() { vec![place] } else { all_files(&place) }).collect()
    }

    /// Where everything of it lies.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The processes that run steps or decide about them.
    pub fn pids(&self) -> Vec<u32> {
        match self.topology {
            Topology::Daemon => daemon::pid(&self.directories()[0].runtime()).into_iter().collect(),
            Topology::Processes => self.lock().processes.as_ref().map(Processes::pids).unwrap_or_default(),
        }
    }

    /// Ends all of its processes in order; the next command starts them again.
    pub fn stop(&self) {
        self.end(Signal::TERM).expect("an orderly end");
    }

    /// Kills them.
    pub fn kill(&self) {
        self.end(Signal::KILL).expect("the end of killed processes");
    }

    fn end(&self, signal: Signal) -> Result<(), String> {
        match self.topology {
            Topology::Daemon => daemon::end(&self.directories()[0].runtime(), signal),
            Topology::Processes => {
                self.lock().processes.as_mut().map_or(Ok(()), |processes| processes.end_servers(signal))
            }
        }
    }

    /// A program in the network of processes, which are started where they do not run.
    fn client_of_processes(&self, program: &Path) -> Command {
        let mut inner = self.lock();
        if inner.processes.is_none() {
            let settings = Settings {
                binary: binary(),
                root: self.root.path().to_owned(),
                configuration: self.configuration_text(),
            };
            let mut processes = Processes::start(settings).expect("a farm of four processes");
            for service in inner.services.iter().copied().chain(registry()) {
                processes.reach(service).expect("a listener in a namespace");
            }
            inner.processes = Some(processes);
        }
        let processes = inner.processes.as_mut().expect("it has just been started");
        if processes.pids().is_empty() {
            processes.start_servers().expect("the servers start again");
        }
        processes.client(program)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of it is still there after its end.
    fn left(&self) -> Vec<String> {
        let quiet = || leftovers::processes(self.root()).is_empty().then_some(());
        let mut left = Vec::new();
        if leftovers::wait_for(PARTING, quiet).is_none() {
            for pid in leftovers::processes(self.root()) {
                left.push(leftovers::description(pid));
                leftovers::send(pid, Signal::KILL);
            }
        }
        left.extend(leftovers::mounts(self.root()));
        left
    }

    /// A path for a test's own results.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What its processes have to say.
    pub fn logs(&self) -> String {
        match self.topology {
            Topology::Daemon => {
                let log = self.directories()[0].state().join("daemon.log");
                format!("--- daemon:\n{}", fs::read_to_string(log).unwrap_or_default())
            }
            Topology::Processes => self.lock().processes.as_ref().map(Processes::logs).unwrap_or_default(),
        }
    }

    fn bare(&self, arguments: &[&str], output: Output) -> Build<'_> {
        Build {
            farm: self,
            arguments: arguments.iter().map(OsString::from).collect(),
            environment: Vec::new(),
            stdin: None,
            output,
        }
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        let logs = if thread::panicking() { self.logs() } else { String::new() };
        let mut problems: Vec<_> = self.end(Signal::TERM).err().into_iter().collect();
        problems.extend(self.left());
        if thread::panicking() {
            // The test has failed already; this may say why.
            problems.insert(0, logs);
            let _closed = writeln!(std::io::stderr(), "{}", problems.join("\n"));
        } else {
            assert!(problems.is_empty(), "the farm left something behind:\n{}", problems.join("\n"));
        }
    }
}

impl Default for Farm {
    fn default() -> Self {
        Self::new()
    }
}

impl Build<'_> {
    /// One more word of the command line.
    #[must_use]
    pub fn argument(mut self, word: impl AsRef<OsStr>) -> Self {
        self.arguments.push(word.as_ref().to_owned());
        self
    }

    /// An option with its value.
    #[must_use]
    pub fn option(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.argument(name).argument(value)
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// What it reads from standard input; nothing if not given.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Starts it; what it prints is read all the while.
    pub fn start(self) -> Started {
        let stdin = self.stdin.clone();
        let archive = match &self.output {
            Output::Oci(path) => Some(path.clone()),
            Output::AsGiven => None,
        };
        let mut child = self.spawn();
        let mut pipe = child.stdin.take();
        // Written from a thread: farm may print more than a pipe holds before it has read everything.
        thread::spawn(move || {
            if let (Some(pipe), Some(bytes)) = (&mut pipe, stdin) {
                let _ = pipe.write_all(&bytes);
            }
        });
        let pid = child.id();
        Started { pid, output: thread::spawn(move || child.wait_with_output()), archive }
    }

    /// Starts it, for a test that interferes; both streams are pipes.
    pub fn spawn(self) -> Child {
        let mut command = self.farm.client(&binary());
        command.args(&self.arguments);
        if let Output::Oci(path) = &self.output {
            command.arg("--output").arg(format!("type=oci,dest={}", path.display()));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", binary().display()))
    }
}

impl Started {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        leftovers::send(self.pid, signal);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.output.is_finished()
    }

    /// Waits for its end for so long; one that goes on is killed.
    pub fn finish_within(self, patience: Duration) -> Option<Outcome> {
        let ended = leftovers::wait_for(patience, || self.is_finished().then_some(()));
        if ended.is_none() {
            self.signal(Signal::KILL);
            return None;
        }
        Some(self.finish())
    }

    /// Waits for its end.
    pub fn finish(self) -> Outcome {
        let output = self.output.join().expect("the waiting thread does not panic");
        let output = output.expect("a child of ours can be waited for");
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Outcome { status: output.status.code(), log: stdout.clone() + &stderr, stdout, archive: self.archive }
    }
}

impl Outcome {
    /// Standard output as JSON, an object a line.
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Panics with the log unless the status is this one.
    #[must_use]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "farm ended with another status; its output:\n{}", self.log);
        self
    }

    /// Panics with the log unless every word is in it, upper and lower case alike.
    #[must_use]
    pub fn says(self, words: &[&str]) -> Self {
        let log = self.log.to_lowercase();
        for word in words {
            assert!(log.contains(&word.to_lowercase()), "the output lacks `{word}`:\n{}", self.log);
        }
        self
    }

    /// The image of a successful build.
    pub fn image(&self) -> Image {
        assert_eq!(self.status, Some(0), "the build failed:\n{}", self.log);
        let archive = self.archive.as_ref().expect("only `Farm::build` keeps an archive");
        let image = Image::open(archive).unwrap_or_else(|error| panic!("the image cannot be read: {error}"));
        assert_eq!(image.problems(), [""; 0], "the image contradicts itself");
        image
    }

    /// The root file system of a successful build.
    pub fn files(&self) -> Filesystem {
        self.image().flatten().unwrap_or_else(|error| panic!("the layers cannot be applied: {error}"))
    }

    /// The archive itself, if the build was to leave one.
    pub fn archive(&self) -> Option<&Path> {
        self.archive.as_deref()
    }
}

/// How often a line of the log contains all of these words.
pub fn count_lines(log: &str, words: &[&str]) -> usize {
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// Everything below a directory, for asking whether something was written anywhere.
fn all_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}
