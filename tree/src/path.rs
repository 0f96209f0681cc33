//! Names and paths as bytes.
//!
//! A *tree path* is relative to the root, its names joined by single slashes; the root itself is empty. A *written
//! path* is what a Dockerfile or an archive says: it may start with a slash and hold `.` and `..`.

use crate::error::Error;

/// Bytes of a path, as Linux limits it, the terminating zero included.
pub const MAX_PATH: usize = 4096;
/// Bytes of a name, as Linux limits it.
pub const MAX_NAME: usize = 255;
/// Names in a path; deeper trees are refused, since every operation on a tree goes down it.
pub const MAX_DEPTH: usize = 1024;

/// Whether a directory can hold `name`.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}

/// Whether `path` is a tree path that names something below the root.
pub fn is_relative(path: &[u8]) -> bool {
    path.len() < MAX_PATH && path.split(|byte| *byte == b'/').all(is_name)
}

/// The last name of a tree path.
pub fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The tree path of the directory that a tree path lies in; that of the root is the root.
pub fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
    &path[..end]
}

/// The names of a path that may start with `/` or hold `.` and empty names, which mean nothing. `..` is refused.
pub fn names(path: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let names: Vec<&[u8]> = written(path).collect();
    if path.len() >= MAX_PATH || names.len() > MAX_DEPTH || !names.iter().all(|name| is_name(name)) {
        return Err(Error::InvalidPath(text(path)));
    }
    Ok(names)
}

/// The parts of a written path that mean something: names and `..`.
pub fn written(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// The tree path of `written`, with `..` taken lexically and clamped at the root.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in written(path) {
        if part == b".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join(&b'/')
}

/// The tree path of `name` in the directory `path`.
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(path.len() + 1 + name.len());
    joined.extend_from_slice(path);
    if !path.is_empty() {
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined
}

/// A path for a message.
pub fn text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for character in String::from_utf8_lossy(path).chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// A tree path for a message, as an absolute one.
pub fn absolute(path: &[u8]) -> String {
    format!("/{}", text(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_slashes_are_cleaned_and_never_leave_the_root() {
        assert_eq!(clean(b"/a/./b//c/.."), b"a/b");
        assert_eq!(clean(b"../../a/"), b"a");
        assert_eq!(clean(b"/"), b"");
    }

    #[test]
    fn names_refuse_what_no_directory_holds() {
        assert!(names(b"/a/../b").is_err());
        assert!(names(b"a\0b").is_err());
        assert!(names(&[b'a'; 256]).is_err());
        assert_eq!(names(b"./a//b/").unwrap(), [b"a", b"b"]);
    }
}
