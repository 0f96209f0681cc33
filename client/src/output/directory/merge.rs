//! Moving what was unpacked to where it belongs. A rename replaces a file at once, so nothing is ever seen half.

use std::collections::BTreeSet;

use farm_tree::path;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::{Directories, Root};
use crate::Error;

/// Moves everything in `from` to `to`, directories that `to` lacks as a whole.
pub(super) fn merge(from: &Root, to: &Root, directories: &Directories) -> Result<(), Error> {
    let known: BTreeSet<&[u8]> = directories.iter().map(|(path, _)| &path[..]).collect();
    let mut pending = vec![Vec::new()];
    while let Some(directory) = pending.pop() {
        let (source, target) =
            (from.directory(&directory, OFlags::RDONLY)?, to.directory(&directory, OFlags::PATH)?);
        let failed = |error: Errno| to.failed(&directory, error);
        // Listed first: what is moved away while a directory is read may hide something else.
        let listed = Dir::read_from(&source).map_err(failed)?;
        let names = listed.map(|entry| entry.map(|entry| entry.file_name().to_bytes().to_vec()));
        for name in names.collect::<Result<Vec<_>, _>>().map_err(failed)? {
            let name = &name[..];
            if !path::is_name(name) {
                continue;
            }
            let full = path::join(&directory, name);
            let failed = |error: Errno| to.failed(&full, error);
            if known.contains(&full[..]) {
                match statat(&target, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                        pending.push(full);
                        continue;
                    }
                    // Anything else makes way.
                    Ok(_) => unlinkat(&target, name, AtFlags::empty()).map_err(failed)?,
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            renameat(&source, name, &target, name).map_err(failed)?;
        }
    }
    Ok(())
}
