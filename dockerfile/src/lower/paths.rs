//! Paths as text: cleaned and joined without a look at any file system.

/// The absolute path that `path` means below `base`, without `.`, `..` and doubled slashes.
pub(super) fn absolute(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { base };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path without `.`, `..` and doubled slashes, relative when it was; `.` when nothing is left.
pub(super) fn clean(path: &str) -> String {
    if path.starts_with('/') {
        return absolute("/", path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// The last part of a path.
pub(super) fn base_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_cleaned() {
        assert_eq!(absolute("/a/b", "../c/./d//e/"), "/a/c/d/e");
        assert_eq!(absolute("/a", "/../x"), "/x");
        assert_eq!(absolute("/", ""), "/");
        assert_eq!(clean("a/../../b/"), "../b");
        assert_eq!(clean("/a//b/"), "/a/b");
        assert_eq!(clean(""), ".");
        assert_eq!(base_name("/run/x/"), "x");
    }
}
