//! Small files that appear whole or not at all, readable by nobody else where they are secret.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::{Error, Result};

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    /// Whoever may enter the directory.
    All,
    /// Its owner.
    Owner,
}

/// Makes a directory that only its owner may enter; one that exists is taken as it is.
pub(crate) fn private_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Writes `directory/name` under another name first.
pub(crate) fn write(directory: &Path, name: &str, text: &str, readers: Readers) -> Result<()> {
    let path = directory.join(name);
    replace(directory, &path, name, text, readers).map_err(|source| Error::File { path, source })
}

fn replace(directory: &Path, path: &Path, name: &str, text: &str, readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    let fresh = directory.join(format!(".{name}.{}", std::process::id()));
    // What a process with the same number left behind may have other permissions.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| fs::rename(&fresh, path));
    if moved.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&fresh);
    }
    moved
}

/// The longest file that is read; certificates and keys are a few kilobytes.
const LIMIT: u64 = 1 << 20;

/// Reads `directory/name`.
pub(crate) fn read(directory: &Path, name: &str) -> Result<String> {
    let path = directory.join(name);
    let read = || {
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(fs::File::open(&path)?, LIMIT), &mut text)?;
        Ok(text)
    };
    read().map_err(|source| Error::File { path: path.clone(), source })
}
