//! Which part of a context is wanted, on the way down.

use std::path::{Component, Path, PathBuf};

/// What is wanted of a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// All of it.
    Everything,
    /// What lies at or below these tree paths, seen from the directory; never an empty path.
    Below(Vec<Vec<u8>>),
}

impl Reach {
    /// What is wanted of the entry `name`; none when it is nothing.
    pub(super) fn of(&self, name: &[u8]) -> Option<Self> {
        let Self::Below(paths) = self else { return Some(Self::Everything) };
        let mut below = Vec::new();
        for path in paths {
            match path.strip_prefix(name) {
                Some([]) => return Some(Self::Everything),
                Some([b'/', rest @ ..]) => below.push(rest.to_vec()),
                Some(_) | None => {}
            }
        }
        (!below.is_empty()).then_some(Self::Below(below))
    }

    /// The entries that are wanted, each once; none when it is all that there are.
    pub(super) fn names(&self) -> Option<Vec<&[u8]>> {
        let Self::Below(paths) = self else { return None };
        let first = |path: &'_ Vec<u8>| path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
        let mut names: Vec<_> = paths.iter().map(|path| &path[..first(path)]).collect();
        names.sort_unstable();
        names.dedup();
        Some(names)
    }
}

/// The wanted paths without `.` and `..`; none when everything is wanted. A path that leads through a symbolic link makes
/// everything wanted: the link may point anywhere in the context.
pub(super) fn clean(root: &Path, paths: &[String]) -> Option<Vec<PathBuf>> {
    let mut wanted = Vec::with_capacity(paths.len());
    for path in paths {
        let mut clean = PathBuf::new();
        for component in Path::new(path).components() {
            step(&mut clean, component);
            if root.join(&clean).is_symlink() {
                return None;
            }
        }
        if clean.as_os_str().is_empty() {
            return None;
        }
        wanted.push(clean);
    }
    Some(wanted)
}

/// Whether the symbolic link at `path` leads to what is wanted, by its text alone, or nowhere.
pub(super) fn stays_within(root: &Path, wanted: &[PathBuf], path: &Path, target: &Path) -> bool {
    let from = path.parent().unwrap_or(Path::new(""));
    let mut clean = PathBuf::new();
    from.join(target).components().for_each(|component| step(&mut clean, component));
    wanted.iter().any(|wanted| clean.starts_with(wanted)) || !root.join(&clean).exists()
}

/// Goes one step on from `path`, which stays below the root.
fn step(path: &mut PathBuf, component: Component<'_>) {
    match component {
        Component::Normal(name) => path.push(name),
        Component::ParentDir => {
            path.pop();
        }
        Component::RootDir => path.clear(),
        Component::CurDir | Component::Prefix(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_what_is_wanted_is_found_step_by_step() {
        let reach = Reach::Below(vec![b"a/b/c".to_vec(), b"a/d".to_vec(), b"e".to_vec(), b"ab".to_vec()]);
        assert_eq!(reach.names().unwrap(), [&b"a"[..], b"ab", b"e"]);
        assert_eq!(reach.of(b"e"), Some(Reach::Everything));
        assert_eq!(reach.of(b"x"), None);
        assert_eq!(reach.of(b"a"), Some(Reach::Below(vec![b"b/c".to_vec(), b"d".to_vec()])));
        assert_eq!(Reach::Everything.of(b"x"), Some(Reach::Everything));
    }
}
