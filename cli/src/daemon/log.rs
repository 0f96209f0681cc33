//! The daemon's log file.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::paths;

/// A log that has grown beyond this is put aside at the next start; one old log is kept.
const LARGEST: u64 = 8 << 20;
/// How much of the end is looked at for its last lines.
const END: u64 = 64 << 10;

/// Where the daemon writes what it has to say.
pub(crate) fn path() -> PathBuf {
    paths::state().join("daemon.log")
}

/// Puts a large log aside.
pub(crate) fn rotate(log: &Path) {
    if std::fs::metadata(log).is_ok_and(|file| file.len() > LARGEST) {
        // A log that cannot be put aside goes on growing; that is no reason not to start.
        let _kept = std::fs::rename(log, log.with_extension("log.1"));
    }
}

/// The last lines of the log, or why there are none.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => {
            let all: Vec<_> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("its log `{}` cannot be read: {error}", log.display()),
    }
}
