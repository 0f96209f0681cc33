//! An OCI layout as a directory.
//!
//! Only names that a layout has are taken. Files wait under temporary names until the whole layout came; the index gets
//! its name last, so that what it names is there. Blobs that the directory has already stay.

use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::output::file::AtomicFile;
use crate::output::parts::Parts;
use crate::output::tar::{Kind, Member, TarReader};

const BLOBS: &str = "blobs/sha256";
const INDEX: &str = "index.json";
/// Hexadecimal digits of a sha256.
const DIGITS: usize = 64;

/// Unpacks the archive in `parts` into the directory `target`, which is made.
pub(super) fn unpack(target: &Path, parts: &mut Parts) -> Result<(), Error> {
    let made = Made::below(target)?;
    let mut waiting = take(target, parts)?;
    // `false` sorts first: the index is the last.
    waiting.sort_by_key(|(path, _)| path.ends_with(INDEX));
    for (_, file) in waiting {
        file.commit()?;
    }
    made.keep();
    Ok(())
}

type Waiting = Vec<(PathBuf, AtomicFile)>;

fn take(target: &Path, parts: &mut Parts) -> Result<Waiting, Error> {
    let mut archive = TarReader::new(parts);
    let mut waiting = Vec::new();
    while let Some(member) = archive.next()? {
        let Some(path) = path_of(&member)? else { continue };
        let path = target.join(path);
        let is_blob = path.parent().is_some_and(|parent| parent.ends_with(BLOBS));
        if is_blob && path.metadata().is_ok_and(|known| known.len() == member.size) {
            continue;
        }
        let mut file = AtomicFile::create(&path)?;
        archive.copy(|content| io::copy(content, &mut file), Error::io("write", &path))?;
        file.close();
        waiting.push((path, file));
    }
    archive.finish()?;
    Ok(waiting)
}

/// The path of a file below the layout; none for its directories.
fn path_of(member: &Member) -> Result<Option<&str>, Error> {
    let refused =
        || Error::Archive(format!("`{}` is not a part of a layout", farm_tree::path::text(&member.path)));
    let path = std::str::from_utf8(&member.path).map_err(|_| refused())?;
    match (&member.kind, path) {
        (Kind::Directory, "" | "blobs" | BLOBS) => Ok(None),
        (Kind::File, INDEX | "oci-layout") => Ok(Some(path)),
        (Kind::File, _) => {
            let hex = path.strip_prefix(BLOBS).and_then(|path| path.strip_prefix('/')).ok_or_else(refused)?;
            if hex.len() != DIGITS || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(refused());
            }
            Ok(Some(path))
        }
        _ => Err(refused()),
    }
}

/// Directories that were made for a layout; they go again when it does not come.
struct Made(Vec<PathBuf>);

impl Made {
    fn below(target: &Path) -> Result<Self, Error> {
        let mut made = Self(Vec::new());
        for directory in [target.to_owned(), target.join("blobs"), target.join(BLOBS)] {
            if !directory.is_dir() {
                std::fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
                made.0.push(directory);
            }
        }
        Ok(made)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            // One that is not empty is somebody else's by now.
            let _kept = std::fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tar::tests::{archive, member};

    #[test]
    fn a_layout_becomes_a_directory_and_other_names_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("layout");
        let blob = format!("{BLOBS}/{}", "a".repeat(DIGITS));
        let whole = archive(&[
            member("blobs/", Kind::Directory, ""),
            member(&blob, Kind::File, "blob"),
            member(INDEX, Kind::File, "{}"),
        ]);
        unpack(&target, &mut Parts::whole(whole)).unwrap();
        assert_eq!(std::fs::read(target.join(&blob)).unwrap(), b"blob");
        assert_eq!(std::fs::read(target.join(INDEX)).unwrap(), b"{}");
        for name in ["x", "blobs/sha256/../../x", "blobs/sha256/zz", "../x"] {
            let other = root.path().join("other");
            let bad = archive(&[member(INDEX, Kind::File, "{}"), member(name, Kind::File, "x")]);
            assert!(unpack(&other, &mut Parts::whole(bad)).is_err(), "{name}");
            assert!(!other.exists(), "{name}");
        }
    }

    #[test]
    fn a_layout_that_stops_in_the_middle_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("layout");
        let whole = archive(&[member(INDEX, Kind::File, "{}"), member("oci-layout", Kind::File, "{}")]);
        assert!(unpack(&target, &mut Parts::cut_off(whole)).is_err());
        assert!(!target.exists());
    }
}
