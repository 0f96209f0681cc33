//! Unpacking an archive into a destination, as `ADD` does.
//!
//! Unlike a copy it replaces what is in the way: files by directories, directories by files, and symbolic links by
//! directories that the archive lists. Directories that it does not list go through symbolic links.

use std::collections::BTreeSet;

use super::overwrite;
use crate::error::Error;
use crate::path;
use crate::record::{Directory, DirectoryRef, Entry, Metadata, Node, Tree};
use crate::records::load;
use crate::resolve::{Seen, View};
use crate::select::{Adjustment, Selection};
use crate::upper::{Item, Upper};

/// Unpacks `tree` into the directory that `at` leads to.
pub(super) fn unpack(
    upper: &mut Upper<'_>,
    at: &[u8],
    tree: &Tree,
    implied: &BTreeSet<Vec<u8>>,
    selection: &Selection,
) -> Result<(), Error> {
    let made = Metadata { mode: 0o755, ..selection.made_directories() };
    upper.make_directories(at, &made)?;
    let adjustment = Adjustment { owner: selection.adjustment().owner, mode: None };
    let implied_metadata = Metadata::plain(0o755, made.mtime);
    // Where each directory of the archive came to lie, and what is in it. Parents are opened before their entries, and
    // several directories may come to lie in one.
    let mut open: Vec<(Vec<u8>, Vec<u8>, DirectoryRef)> = vec![(Vec::new(), at.to_vec(), tree.root.record)];
    while let Some((inside, real, record)) = open.pop() {
        for (name, entry) in load(upper.records, &record)?.iter().rev() {
            let Entry::Node(node) = entry else { continue };
            let inside = path::join(&inside, name);
            let place = path::join(&real, name);
            let node = if implied.contains(&inside) { node.clone() } else { adjustment.apply(node.clone()) };
            match node {
                Node::Directory(directory) if implied.contains(&inside) => {
                    let real = upper.resolve(&place)?;
                    upper.make_directories(&real, &implied_metadata)?;
                    open.push((inside, real, directory.record));
                }
                Node::Directory(directory) => {
                    listed(upper, &place, &directory)?;
                    open.push((inside, place, directory.record));
                }
                Node::File(_) | Node::Symlink(_) | Node::Device(_) => {
                    let item = Item::of(node, &mut upper.groups);
                    let records = upper.records;
                    let parent = upper.make_directories(path::parent(&place), &made)?;
                    parent.place(records, name, item)?;
                }
            }
        }
    }
    Ok(())
}

/// Makes a directory that the archive lists, or gives the one that is there its metadata.
fn listed(upper: &mut Upper<'_>, place: &[u8], directory: &Directory) -> Result<(), Error> {
    let there = upper.see(place)?;
    let (records, metadata) = (upper.records, &directory.metadata);
    path::names(place)?;
    let parent = upper.make_directories(path::parent(place), metadata)?;
    let name = path::name(place);
    match there {
        Seen::Directory => overwrite(&mut parent.open(records, name)?.metadata, metadata),
        Seen::Missing | Seen::Symlink(_) | Seen::Other => {
            parent.make(records, name, metadata.clone())?;
        }
    }
    Ok(())
}
