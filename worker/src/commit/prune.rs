//! Takes out of an upper directory what its layer does not have.

use farm_tree::{Entry, Node, Records, Tree};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir};
use rustix::io::Errno;

use super::{DIRECTORY, Place, join};
use crate::error::Error;

/// Removes from `place` everything that `layer` does not have.
pub(super) fn prune(records: &dyn Records, place: &Place<'_>, layer: &Tree) -> Result<(), Error> {
    let mut open = vec![(Vec::new(), layer.root.record.digest)];
    while let Some((path, digest)) = open.pop() {
        let entries = records.entries(digest)?;
        let handle = place.open(&path, DIRECTORY)?;
        for name in names(place, &handle, &path)? {
            match entries.get(name.as_slice()) {
                Some(Entry::Node(Node::Directory(directory))) => {
                    open.push((join(&path, &name)?, directory.record.digest));
                }
                Some(Entry::Node(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout) => {}
                None => remove(place, join(&path, &name)?)?,
            }
        }
    }
    Ok(())
}

/// Removes what lies at `path` and below it.
fn remove(place: &Place<'_>, path: Vec<u8>) -> Result<(), Error> {
    match rustix::fs::unlinkat(&place.root, path.as_slice(), AtFlags::empty()) {
        Ok(()) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(place.failed("remove", &path, error)),
    }
    // Parents stand before children.
    let mut directories = vec![path];
    let mut next = 0;
    while let Some(path) = directories.get(next).cloned() {
        next += 1;
        let handle = place.open(&path, DIRECTORY)?;
        for name in names(place, &handle, &path)? {
            let child = join(&path, &name)?;
            match rustix::fs::unlinkat(&handle, name.as_slice(), AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::ISDIR) => directories.push(child),
                Err(error) => return Err(place.failed("remove", &child, error)),
            }
        }
    }
    for path in directories.iter().rev() {
        rustix::fs::unlinkat(&place.root, path.as_slice(), AtFlags::REMOVEDIR)
            .map_err(|error| place.failed("remove", path, error))?;
    }
    Ok(())
}

/// Read to the end before anything is removed: what a listing gives while its directory changes is not defined.
fn names(place: &Place<'_>, handle: &OwnedFd, path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let failed = |error| place.failed("list", path, error);
    let mut names = Vec::new();
    for entry in Dir::read_from(handle).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_bytes().to_vec());
        }
    }
    Ok(names)
}
