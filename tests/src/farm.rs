//! The real `farm` binary with a state directory of its own.
//!
//! The binary, the base images and the registry that serves them are handed in by the environment, as `scripts/test` sets it:
//! `FARM_BIN`, `FARM_BASES`, `FARM_REGISTRY`, `FARM_CONFIG`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::filesystem::Filesystem;
use crate::image::Image;

/// A farm that nobody else uses; its state goes away with the value.
#[derive(Debug)]
pub struct Farm {
    root: TempDir,
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

/// What a finished `farm build` left.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output and error, one after the other.
    pub log: String,
    archive: Option<PathBuf>,
}

impl Farm {
    /// A farm with an empty store.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("farm-e2e-").tempdir().expect("a temporary directory");
        Self { root }
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

    /// Where this farm keeps everything.
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// Where this farm keeps what lives as long as a process.
    pub fn runtime(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// A path for a test's own results.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
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
        let stdin = self.stdin.clone();
        let archive = match &self.output {
            Output::Oci(path) => Some(path.clone()),
            Output::AsGiven => None,
        };
        let mut child = self.spawn();
        let mut pipe = child.stdin.take();
        // Written from a thread: farm may print more than a pipe holds before it has read everything.
        let writer = std::thread::spawn(move || {
            if let (Some(pipe), Some(bytes)) = (&mut pipe, stdin) {
                let _ = pipe.write_all(&bytes);
            }
        });
        let output = child.wait_with_output().expect("a child of ours can be waited for");
        writer.join().expect("the writing thread does not panic");
        let log =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Outcome { status: output.status.code(), log, archive }
    }

    /// Starts it, for a test that interferes; both streams are pipes.
    pub fn spawn(self) -> Child {
        let mut command = Command::new(binary());
        command.args(&self.arguments);
        if let Output::Oci(path) = &self.output {
            command.arg("--output").arg(format!("type=oci,dest={}", path.display()));
        }
        command.env("FARM_STATE_DIR", self.farm.state()).env("FARM_RUNTIME_DIR", self.farm.runtime());
        command
            .env_remove("SOURCE_DATE_EPOCH")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", binary().display()))
    }
}

impl Outcome {
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

/// The binary under test.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("FARM_BIN") {
        return path.into();
    }
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    Path::new(&target).join("release/farm")
}

/// The OCI layout of a base image by its name, as `bases/make` makes it.
pub fn base_layout(name: &str) -> PathBuf {
    let bases = env::var_os("FARM_BASES").unwrap_or_else(|| {
        panic!("FARM_BASES is not set: the end-to-end tests need the base images and the registry that `scripts/test` prepares")
    });
    Path::new(&bases).join(name)
}

/// The root file system of a base image; none is the empty one.
pub fn base_files(name: Option<&str>) -> Result<Filesystem, String> {
    name.map_or_else(|| Ok(Filesystem::default()), |name| Image::open(&base_layout(name))?.flatten())
}

/// How often a line of the log contains all of these words.
pub fn count_lines(log: &str, words: &[&str]) -> usize {
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// Everything below a directory, for asking whether something was written anywhere.
pub fn all_files(directory: &Path) -> Vec<PathBuf> {
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
