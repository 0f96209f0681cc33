//! A folder of files whose bytes, modes and times are all given, and the digest that says so.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::Error;

/// When every file was "last changed": 2026-01-01T00:00:00Z.
pub const MODIFIED: Duration = Duration::from_secs(1_767_225_600);

/// A folder being written. Until [`Folder::finish`] its bytes lie under another name, so a folder that exists is complete.
#[derive(Debug)]
pub struct Folder {
    partial: PathBuf,
    path: PathBuf,
    directories: BTreeSet<PathBuf>,
}

/// What a folder holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contents {
    /// Regular files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Over every path, mode, time and byte.
    pub digest: blake3::Hash,
}

impl Folder {
    /// Starts a folder that will appear as `path`, where nothing may be yet.
    pub fn create(path: &Path) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists(path.to_owned()));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let mut folder =
            Self { partial: partial.into(), path: path.to_owned(), directories: BTreeSet::new() };
        if folder.partial.exists() {
            fs::remove_dir_all(&folder.partial).map_err(Error::file("remove", &folder.partial))?;
        }
        let root = folder.partial.clone();
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        folder.directory(&root)?;
        Ok(folder)
    }

    /// Adds a file that everyone may read.
    pub fn file(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.write(path, bytes.as_ref(), 0o644, MODIFIED)
    }

    /// Adds a file that is so much younger than the others.
    pub fn younger_file(&mut self, path: &str, bytes: impl AsRef<[u8]>, by: Duration) -> Result<(), Error> {
        self.write(path, bytes.as_ref(), 0o644, MODIFIED + by)
    }

    /// Adds a file that everyone may execute.
    pub fn program(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.write(path, bytes.as_ref(), 0o755, MODIFIED)
    }

    /// Puts the folder where it belongs.
    pub fn finish(self) -> Result<(), Error> {
        // Deepest first is not needed: setting a directory's time does not touch its parent's.
        for directory in &self.directories {
            let file = File::open(directory).map_err(Error::file("open", directory))?;
            set_modified(&file, directory, MODIFIED)?;
        }
        fs::rename(&self.partial, &self.path).map_err(Error::file("rename to", &self.path))
    }

    fn write(&mut self, path: &str, bytes: &[u8], mode: u32, modified: Duration) -> Result<(), Error> {
        let path = self.partial.join(path);
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(Error::file("create", &path))?;
        file.write_all(bytes).map_err(Error::file("write", &path))?;
        // The umask of whoever runs this is no part of a workload.
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(Error::file("change the mode of", &path))?;
        set_modified(&file, &path, modified)
    }

    fn directory(&mut self, path: &Path) -> Result<(), Error> {
        if self.directories.contains(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|_| path != self.partial) {
            self.directory(parent)?;
        }
        DirBuilder::new().mode(0o755).create(path).map_err(Error::file("create", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(Error::file("change the mode of", path))?;
        self.directories.insert(path.to_owned());
        Ok(())
    }
}

impl Contents {
    /// Reads a whole folder.
    pub fn of(root: &Path) -> Result<Self, Error> {
        let mut hasher = blake3::Hasher::new();
        let (mut files, mut bytes) = (0, 0);
        for path in paths_below(root)? {
            let metadata = path.symlink_metadata().map_err(Error::file("read", &path))?;
            let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes();
            let content = if metadata.is_file() {
                fs::read(&path).map_err(Error::file("read", &path))?
            } else {
                Vec::new()
            };
            files += u64::from(metadata.is_file());
            let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
            bytes += length;
            let name_length = u64::try_from(name.len()).unwrap_or(u64::MAX);
            hasher.update(&name_length.to_le_bytes()).update(name);
            hasher.update(&metadata.mode().to_le_bytes());
            hasher.update(&metadata.mtime().to_le_bytes()).update(&metadata.mtime_nsec().to_le_bytes());
            hasher.update(&length.to_le_bytes()).update(&content);
        }
        Ok(Self { files, bytes, digest: hasher.finalize() })
    }
}

/// Every path below a directory, in byte order; links are not followed.
pub fn paths_below(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let (mut found, mut pending) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).map_err(Error::file("read", &directory))? {
            let entry = entry.map_err(Error::file("read", &directory))?;
            if entry.file_type().map_err(Error::file("read", &directory))?.is_dir() {
                pending.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Gives an open file a modification time, counted from the Unix epoch.
pub fn set_modified(file: &File, path: &Path, modified: Duration) -> Result<(), Error> {
    let time = SystemTime::UNIX_EPOCH + modified;
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time))
        .map_err(Error::file("set the time of", path))
}
