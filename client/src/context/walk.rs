//! Which entries of a context take part: those that are wanted and not ignored.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use farm_dockerfile::ignore::Verdict;

use super::Context;
use super::read::unless_gone;
use crate::Error;

/// An entry that takes part.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

pub(super) struct Walk<'a> {
    pub(super) context: &'a Context,
    /// None when everything is.
    pub(super) wanted: Option<Vec<PathBuf>>,
    pub(super) entries: Vec<Seen>,
}

/// A directory on the way down, and those above it that are ignored themselves and so appear only once something in
/// them does.
struct Level {
    path: PathBuf,
    verdict: Verdict,
    unseen: Vec<(PathBuf, Metadata)>,
}

impl Walk<'_> {
    pub(super) fn run(&mut self) -> Result<(), Error> {
        let root = Level { path: PathBuf::new(), verdict: self.context.ignore.root(), unseen: Vec::new() };
        let mut pending = vec![root];
        let mut shown = BTreeSet::new();
        while let Some(level) = pending.pop() {
            let full = self.context.root.join(&level.path);
            let listed = std::fs::read_dir(&full).map_err(Error::io("list", &full));
            for entry in unless_gone(listed)?.into_iter().flatten() {
                let entry = entry.map_err(Error::io("list", &full))?;
                let path = level.path.join(entry.file_name());
                if !self.is_wanted(&path) {
                    continue;
                }
                let name = path.as_os_str().as_bytes();
                let verdict = self.context.ignore.below(level.verdict, name);
                let metadata = entry.metadata().map_err(Error::io("inspect", self.context.root.join(&path)));
                let Some(metadata) = unless_gone(metadata)? else { continue };
                if verdict.is_ignored() {
                    if metadata.is_dir() && !self.context.ignore.may_skip(verdict, name) {
                        let mut unseen = level.unseen.clone();
                        unseen.push((path.clone(), metadata));
                        pending.push(Level { path, verdict, unseen });
                    }
                    continue;
                }
                for (path, metadata) in &level.unseen {
                    if shown.insert(path.clone()) {
                        self.entries.push(Seen { path: path.clone(), metadata: metadata.clone() });
                    }
                }
                if metadata.is_dir() {
                    pending.push(Level { path: path.clone(), verdict, unseen: Vec::new() });
                }
                self.entries.push(Seen { path, metadata });
            }
        }
        Ok(())
    }

    /// Whether the symbolic link at `path` leads to what is wanted, by its text alone.
    pub(super) fn stays_within(&self, path: &Path) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        let Ok(target) = std::fs::read_link(self.context.root.join(path)) else { return true };
        let from = path.parent().unwrap_or(Path::new(""));
        let target = lexical(&from.join(&target));
        wanted.iter().any(|wanted| target.starts_with(wanted)) || !self.context.root.join(&target).exists()
    }

    fn is_wanted(&self, path: &Path) -> bool {
        let related = |wanted: &PathBuf| path.starts_with(wanted) || wanted.starts_with(path);
        self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(related))
    }
}

/// `path` below the root, with `..` taken by the text.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir => clean.clear(),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}
