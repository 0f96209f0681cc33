//! Finding and reading the Dockerfile and the ignore file that belongs to it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use farm_dockerfile::ignore::IgnorePatterns;

use crate::Error;

/// Larger Dockerfiles and ignore files are refused before they are read whole.
const LIMIT: u64 = 16 << 20;

/// A Dockerfile as it was read.
#[derive(Clone, Debug)]
pub struct DockerfileText {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What to call it in messages.
    pub name: String,
    /// Where it lies; none when it came from standard input.
    pub path: Option<PathBuf>,
}

impl DockerfileText {
    /// Reads `file`, or without one `Dockerfile` or `dockerfile` of `context`.
    pub fn find(file: Option<&Path>, context: &Path) -> Result<Self, Error> {
        if let Some(file) = file {
            // As with `docker build`, a relative name is first of all one of the working directory.
            let candidates = [file.to_path_buf(), context.join(file)];
            let path = candidates.iter().find(|path| path.is_file()).unwrap_or(&candidates[0]);
            return Self::read(path);
        }
        let candidates = ["Dockerfile", "dockerfile"].map(|name| context.join(name));
        match candidates.iter().find(|path| path.exists()) {
            Some(path) => Self::read(path),
            None => Err(Error::NoDockerfile(context.to_path_buf())),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_limited(path)?;
        Ok(Self { bytes, name: path.display().to_string(), path: Some(path.to_path_buf()) })
    }

    /// The patterns that say which files of `context` take no part: `<Dockerfile>.dockerignore`, else `.dockerignore`.
    pub fn ignore_patterns(&self, context: &Path) -> Result<IgnorePatterns, Error> {
        let own = self.path.as_ref().map(|path| {
            let mut name = path.clone().into_os_string();
            name.push(".dockerignore");
            PathBuf::from(name)
        });
        match own.filter(|path| path.is_file()) {
            Some(path) => read_ignore(&path),
            None => ignore_patterns_of(context),
        }
    }
}

/// The patterns of `.dockerignore` in `context`; none when there is no such file.
pub fn ignore_patterns_of(context: &Path) -> Result<IgnorePatterns, Error> {
    let path = context.join(".dockerignore");
    if path.is_file() { read_ignore(&path) } else { Ok(IgnorePatterns::default()) }
}

fn read_ignore(path: &Path) -> Result<IgnorePatterns, Error> {
    let bytes = read_limited(path)?;
    IgnorePatterns::parse(&bytes).map_err(|error| {
        let source = String::from_utf8_lossy(&bytes);
        Error::Ignore(error.diagnostic().render(&path.display().to_string(), &source))
    })
}

fn read_limited(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("read", path))?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::TooLarge { path: path.to_path_buf(), limit: LIMIT });
    }
    Ok(bytes)
}
