//! A build context in a temporary directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory with a Dockerfile and whatever a test adds to it. It goes away with the value.
#[derive(Debug)]
pub struct Context {
    directory: TempDir,
}

impl Context {
    /// A context that holds only this Dockerfile.
    pub fn new(dockerfile: &str) -> Self {
        let directory =
            tempfile::Builder::new().prefix("farm-context-").tempdir().expect("a temporary directory");
        Self { directory }.file("Dockerfile", dockerfile)
    }

    /// Adds or replaces a file with mode 0644; parents are made.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    /// Adds a symlink.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        symlink(target, self.join(path)).expect("a symlink in a temporary directory");
        self
    }

    /// Changes the context between two builds.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.join(path);
        fs::create_dir_all(file.parent().expect("a file has a parent"))
            .expect("a directory in a temporary directory");
        fs::write(&file, content).expect("a file in a temporary directory");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))
            .expect("the mode of a file just written");
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path inside it.
    pub fn join(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }
}
