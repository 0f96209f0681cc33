//! What the machine needs for the bare work, taken in the same run as what it is compared with.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::folder::paths_below;

/// Reads every file below a directory, or one file, and hashes it with BLAKE3 on one thread.
pub fn read_and_hash(path: &Path) -> Result<Duration, Error> {
    let started = Instant::now();
    let paths = if path.is_dir() { paths_below(path)? } else { vec![path.to_owned()] };
    let mut buffer = vec![0; 1 << 20];
    let mut all = blake3::Hasher::new();
    for path in paths {
        if !path.symlink_metadata().map_err(Error::file("read", &path))?.is_file() {
            continue;
        }
        let mut file = File::open(&path).map_err(Error::file("open", &path))?;
        let mut hasher = blake3::Hasher::new();
        loop {
            let length = file.read(&mut buffer).map_err(Error::file("read", &path))?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
        }
        all.update(hasher.finalize().as_bytes());
    }
    // The digest is used, so that no compiler can leave the work out.
    std::hint::black_box(all.finalize());
    Ok(started.elapsed())
}

/// Asks for the size and times of every path below a directory.
pub fn walk(path: &Path) -> Result<Duration, Error> {
    let started = Instant::now();
    for path in paths_below(path)? {
        std::hint::black_box(path.symlink_metadata().map_err(Error::file("read", &path))?);
    }
    Ok(started.elapsed())
}

/// Copies every file below a directory into another, which must not exist.
pub fn copy(from: &Path, to: &Path) -> Result<Duration, Error> {
    let started = Instant::now();
    fs::create_dir(to).map_err(Error::file("create", to))?;
    for path in paths_below(from)? {
        let target = to.join(path.strip_prefix(from).unwrap_or(&path));
        if path.is_dir() {
            fs::create_dir(&target).map_err(Error::file("create", &target))?;
        } else {
            fs::copy(&path, &target).map_err(Error::file("copy to", &target))?;
        }
    }
    Ok(started.elapsed())
}

/// Runs a program outside any container.
pub fn run(program: &Path, words: &[&str]) -> Result<Duration, Error> {
    let started = Instant::now();
    let status = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .status()
        .map_err(Error::file("start", program))?;
    let took = started.elapsed();
    if status.success() {
        return Ok(took);
    }
    let source = std::io::Error::other(status.to_string());
    Err(Error::File { action: "run", path: program.to_owned(), source })
}
