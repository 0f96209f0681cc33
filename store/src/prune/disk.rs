//! Sizes of directories on disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// Bytes on disk.
    pub(super) bytes: u64,
    /// When something in it was changed last, in seconds since the Unix epoch.
    pub(super) changed: u64,
}

/// Sums up what lies at `path`, links not followed. What cannot be read counts as nothing.
pub(super) fn held(path: &Path) -> Held {
    let mut held = Held::default();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        held.bytes += metadata.blocks() * 512;
        held.changed = held.changed.max(u64::try_from(metadata.mtime()).unwrap_or(0));
        if metadata.is_dir() {
            open.extend(children(&path));
        }
    }
    held
}

/// What lies in a directory, sorted; nothing when it cannot be read.
pub(super) fn children(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut children: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    children.sort();
    children
}
