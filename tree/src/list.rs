//! One directory of an image: as a layer holds it, against what lies below it, or as all layers together show it, each name
//! with the layer that it comes from. Only the directories on the way there are read, in each layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compare::Extent;
use crate::diff::{ChangeKind, difference};
use crate::error::Error;
use crate::merge::merge_all;
use crate::path;
use crate::record::{Directory, DirectoryRef, Entry, Metadata, Node, Tree};
use crate::records::{Entries, MemoryRecords, Records, load};
use crate::resolve::resolve;

/// A directory of an image, or the one thing that lies at the path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing {
    /// Where it is, without symbolic links on the way.
    pub path: Vec<u8>,
    /// What is in it, in byte order of the names.
    pub rows: Vec<Row>,
    /// How many rows there are in all.
    pub total: u64,
}

/// A name in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// The name.
    pub name: Vec<u8>,
    /// What is there; none for what a layer removes.
    pub node: Option<Node>,
    /// How it stands to what lies below; [`Standing::Same`] where nothing is compared.
    pub standing: Standing,
    /// What lies below.
    pub before: Option<Extent>,
    /// The layer that it comes from, from 0.
    pub layer: u32,
}

/// How an entry of a layer stands to what lies below the layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is new.
    Added,
    /// It is taken away.
    Removed,
    /// It is something else, or has other contents.
    Contents,
    /// It has another mode, owner or other extended attributes.
    Metadata,
    /// A directory in which something differs.
    Within,
    /// It is what it was but for its time.
    Touched,
    /// It is what it was.
    Same,
}

/// Which of an image's trees is meant.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// The layer of this number, from 0.
    Layer(usize),
    /// All of them, merged.
    Merged(&'a Tree),
}

/// Lists at most `most` rows after the first `skip` of the directory `written` of an image with these layers, the lowest
/// first. Symbolic links are followed in the merged tree only.
pub fn list(
    records: &dyn Records,
    layers: &[Tree],
    whose: Whose<'_>,
    written: &[u8],
    skip: usize,
    most: usize,
) -> Result<Listing, Error> {
    let (path, rows) = match whose {
        Whose::Layer(number) => {
            let path = path::names(written)?.join(&b'/');
            let rows = of_layer(records, layers, number, &path)?;
            (path, rows)
        }
        Whose::Merged(merged) => of_image(records, layers, merged, written)?,
    };
    let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    Ok(Listing { path, rows: rows.into_iter().skip(skip).take(most).collect(), total })
}

/// The topmost of `layers` that holds something at the tree path `path`, from 0.
pub fn layer_of(records: &dyn Records, layers: &[Tree], path: &[u8]) -> Result<Option<usize>, Error> {
    for (number, layer) in layers.iter().enumerate().rev() {
        match at(records, layer, path)? {
            At::Directory { .. } | At::Other(Entry::Node(_)) => return Ok(Some(number)),
            At::Other(Entry::Whiteout) | At::Nothing => {}
        }
    }
    Ok(None)
}

fn of_layer(records: &dyn Records, layers: &[Tree], number: usize, path: &[u8]) -> Result<Vec<Row>, Error> {
    let missing = || Error::NotFound(path::absolute(path));
    let layer = layers.get(number).ok_or_else(missing)?;
    let place = u32::try_from(number).unwrap_or(u32::MAX);
    let found = at(records, layer, path)?;
    let (entries, opaque, below) = match found {
        At::Directory { record, opaque } => {
            let below = Below::of(records, &layers[..number], path)?;
            (load(records, &record)?, opaque, below)
        }
        At::Other(entry) => {
            let below = Below::of(records, &layers[..number], path::parent(path))?;
            let name: Arc<[u8]> = path::name(path).into();
            (Arc::new(Entries::from([(name, entry)])), false, below)
        }
        At::Nothing => return Err(missing()),
    };
    let mut rows = Vec::with_capacity(entries.len());
    for (name, entry) in entries.iter() {
        let below = below.names.get(name);
        let before = below.map(|seen| seen.extent(records)).transpose()?;
        let row = |node, standing| Row { name: name.to_vec(), node, standing, before, layer: place };
        rows.push(match entry {
            Entry::Whiteout => row(None, Standing::Removed),
            Entry::Node(node) => row(Some(node.clone()), standing(below.map(|seen| &seen.node), node)),
        });
    }
    if opaque {
        for (name, seen) in below.names.iter().filter(|(name, _)| !entries.contains_key(*name)) {
            let before = Some(seen.extent(records)?);
            let name = name.to_vec();
            rows.push(Row { name, node: None, standing: Standing::Removed, before, layer: place });
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(rows)
}

fn of_image(
    records: &dyn Records,
    layers: &[Tree],
    merged: &Tree,
    written: &[u8],
) -> Result<(Vec<u8>, Vec<Row>), Error> {
    // What no path can be is refused before anything is looked at; `..` has a meaning to symbolic links only.
    path::names(written)?;
    let found = resolve(records, merged, written)?;
    let node = found.node.ok_or_else(|| Error::NotFound(path::text(written)))?;
    let (directory, entries) = match node {
        Node::Directory(directory) => (found.path.as_slice(), load(records, &directory.record)?),
        node @ (Node::File(_) | Node::Symlink(_) | Node::Device(_)) => {
            let name: Arc<[u8]> = path::name(&found.path).into();
            (path::parent(&found.path), Arc::new(Entries::from([(name, Entry::Node(node))])))
        }
    };
    let below = Below::of(records, layers, directory)?;
    let row = |(name, entry): (&Arc<[u8]>, &Entry)| {
        let Entry::Node(node) = entry else { return None };
        let layer = below.names.get(name).map_or(0, |seen| seen.layer);
        let node = Some(node.clone());
        Some(Row { name: name.to_vec(), node, standing: Standing::Same, before: None, layer })
    };
    let rows = entries.iter().filter_map(row).collect();
    Ok((found.path, rows))
}

fn standing(below: Option<&Node>, node: &Node) -> Standing {
    let Some(below) = below else { return Standing::Added };
    match (difference(below, node), node) {
        (Some(ChangeKind::Metadata), _) => Standing::Metadata,
        (Some(_), _) => Standing::Contents,
        (None, Node::Directory(directory))
            if directory.opaque || directory.record != DirectoryRef::empty() =>
        {
            Standing::Within
        }
        (None, _) if below.metadata() != node.metadata() => Standing::Touched,
        (None, _) => Standing::Same,
    }
}

/// What one tree holds at a path.
enum At {
    Directory { record: DirectoryRef, opaque: bool },
    Other(Entry),
    Nothing,
}

/// Looks at `path` in a layer's own tree. An opaque directory on the way does not make what is in it opaque: whatever lies
/// below is hidden already.
fn at(records: &dyn Records, layer: &Tree, path: &[u8]) -> Result<At, Error> {
    let mut here = At::Directory { record: layer.root.record, opaque: layer.root.opaque };
    for name in path::written(path) {
        let At::Directory { record, .. } = here else { return Ok(At::Nothing) };
        here = match load(records, &record)?.get(name) {
            Some(Entry::Node(Node::Directory(directory))) => {
                At::Directory { record: directory.record, opaque: directory.opaque }
            }
            Some(entry) => At::Other(entry.clone()),
            None => return Ok(At::Nothing),
        };
    }
    Ok(here)
}

/// What several layers show in one directory.
#[derive(Default)]
struct Below {
    names: BTreeMap<Arc<[u8]>, Seen>,
}

/// What several layers show at a name.
struct Seen {
    layer: u32,
    node: Node,
    /// What each layer adds to it when it is a directory, the lowest first.
    records: Vec<DirectoryRef>,
}

impl Below {
    fn of(records: &dyn Records, layers: &[Tree], path: &[u8]) -> Result<Self, Error> {
        let mut below = Self::default();
        for (number, layer) in (0_u32..).zip(layers) {
            match reach(records, layer, path)? {
                Reach::Untouched => {}
                Reach::Hidden => below.names.clear(),
                Reach::Directory { record, hides } => {
                    if hides {
                        below.names.clear();
                    }
                    below.lay(number, &*load(records, &record)?);
                }
            }
        }
        Ok(below)
    }

    fn lay(&mut self, layer: u32, entries: &Entries) {
        for (name, entry) in entries {
            let Entry::Node(node) = entry else {
                self.names.remove(name);
                continue;
            };
            let mut records = Vec::new();
            if let Node::Directory(directory) = node {
                if !directory.opaque
                    && let Some(seen) = self.names.remove(name)
                {
                    records = seen.records;
                }
                records.push(directory.record);
            }
            self.names.insert(Arc::clone(name), Seen { layer, node: node.clone(), records });
        }
    }
}

impl Seen {
    /// How much it is, all layers together.
    fn extent(&self, records: &dyn Records) -> Result<Extent, Error> {
        let Node::Directory(directory) = &self.node else { return Ok(Extent::of(&self.node)) };
        let record = match self.records.as_slice() {
            [only] if only.marks == 0 => *only,
            several => {
                let tree = |record: &DirectoryRef| Tree {
                    root: Directory { metadata: Metadata::default(), opaque: false, record: *record },
                };
                let trees: Vec<Tree> = several.iter().map(tree).collect();
                merge_all(&Beside { records, own: MemoryRecords::new() }, &trees)?.root.record
            }
        };
        Ok(Extent::of(&Node::Directory(Directory { record, ..directory.clone() })))
    }
}

/// What a layer does to a directory.
enum Reach {
    Untouched,
    /// It takes the directory away, or puts something else in its place.
    Hidden,
    Directory {
        record: DirectoryRef,
        /// Whether what lies below it is not seen.
        hides: bool,
    },
}

fn reach(records: &dyn Records, layer: &Tree, path: &[u8]) -> Result<Reach, Error> {
    let (mut record, mut hides) = (layer.root.record, layer.root.opaque);
    for name in path::written(path) {
        match load(records, &record)?.get(name) {
            Some(Entry::Node(Node::Directory(directory))) => {
                record = directory.record;
                hides |= directory.opaque;
            }
            Some(_) => return Ok(Reach::Hidden),
            None => return Ok(if hides { Reach::Hidden } else { Reach::Untouched }),
        }
    }
    Ok(Reach::Directory { record, hides })
}

/// Records beside others, for as long as a question takes.
struct Beside<'a> {
    records: &'a dyn Records,
    own: MemoryRecords,
}

impl Records for Beside<'_> {
    fn entries(&self, digest: farm_model::DirectoryDigest) -> Result<Arc<Entries>, Error> {
        self.own.entries(digest).or_else(|_| self.records.entries(digest))
    }

    fn put(&self, entries: Entries) -> Result<DirectoryRef, Error> {
        self.own.put(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{dir, file, link, tree};
    use crate::{TreeBuilder, merge};

    fn layers(records: &MemoryRecords) -> Vec<Tree> {
        let base = tree(
            records,
            &[
                ("bin", link("usr/bin")),
                ("usr/bin/sh", file("sh")),
                ("etc/a", file("1")),
                ("etc/b", file("22")),
                ("etc/d/x", file("333")),
                ("var/log/l", file("4444")),
            ],
        );
        let mut middle = TreeBuilder::default();
        middle.insert(b"etc/d/y", file("55")).unwrap();
        middle.insert(b"usr/bin/ls", file("ls")).unwrap();
        let mut upper = TreeBuilder::default();
        upper.insert(b"etc/a", file("2")).unwrap();
        upper.whiteout(b"etc/b").unwrap();
        upper.whiteout(b"etc/d").unwrap();
        upper.insert(b"etc/n", dir(0o755)).unwrap();
        upper.insert(b"var/log/m", file("6")).unwrap();
        upper.opaque(b"var/log").unwrap();
        vec![base, middle.finish(records).unwrap(), upper.finish(records).unwrap()]
    }

    fn shown(listing: &Listing) -> Vec<String> {
        let row = |row: &Row| {
            let before = row.before.map(|extent| format!(" was {}", extent.bytes)).unwrap_or_default();
            format!("{} {:?} @{}{before}", path::text(&row.name), row.standing, row.layer)
        };
        listing.rows.iter().map(row).collect()
    }

    #[test]
    fn a_layer_is_shown_against_what_lies_below_it() {
        let records = MemoryRecords::new();
        let layers = layers(&records);
        let of = |number, path: &str| {
            shown(&list(&records, &layers, Whose::Layer(number), path.as_bytes(), 0, 99).unwrap())
        };
        assert_eq!(
            of(2, "/etc"),
            ["a Contents @2 was 1", "b Removed @2 was 2", "d Removed @2 was 5", "n Added @2"]
        );
        assert_eq!(of(2, "/var/log"), ["l Removed @2 was 4", "m Added @2"]);
        assert_eq!(of(1, "/")[0], "etc Within @1 was 6");
        assert_eq!(of(0, "/bin"), ["bin Added @0"]);
    }

    #[test]
    fn the_merged_tree_says_which_layer_each_name_comes_from_and_follows_links() {
        let records = MemoryRecords::new();
        let layers = layers(&records);
        let merged = merge_all(&records, &layers).unwrap();
        let listing = list(&records, &layers, Whose::Merged(&merged), b"/bin/", 0, 99).unwrap();
        assert_eq!(listing.path, b"usr/bin");
        assert_eq!(shown(&listing), ["ls Same @1", "sh Same @0"]);
        let one = list(&records, &layers, Whose::Merged(&merged), b"/bin/sh", 0, 99).unwrap();
        assert_eq!((shown(&one), one.path), (vec!["sh Same @0".to_owned()], b"usr/bin/sh".to_vec()));
    }

    #[test]
    fn a_path_comes_from_the_topmost_layer_that_holds_it() {
        let records = MemoryRecords::new();
        let layers = layers(&records);
        let of = |path: &str| layer_of(&records, &layers, path.as_bytes()).unwrap();
        assert_eq!(
            [of("etc/a"), of("usr/bin/sh"), of("usr/bin"), of("no")],
            [Some(2), Some(0), Some(1), None]
        );
    }

    #[test]
    fn a_part_of_a_large_directory_says_how_much_there_is() {
        let records = MemoryRecords::new();
        let layers = layers(&records);
        let listing = list(&records, &layers, Whose::Layer(0), b"etc", 1, 1).unwrap();
        assert_eq!((shown(&listing), listing.total), (vec!["b Added @0".to_owned()], 3));
    }

    #[test]
    fn what_is_not_there_or_is_no_path_is_said_to_be() {
        let records = MemoryRecords::new();
        let layers = layers(&records);
        let merged = merge_all(&records, &layers).unwrap();
        for whose in [Whose::Layer(0), Whose::Merged(&merged)] {
            let of = |path: &[u8]| list(&records, &layers, whose, path, 0, 9).unwrap_err();
            assert!(matches!(of(b"/etc/none"), Error::NotFound(_)));
            assert!(matches!(of(b"/etc/../etc"), Error::InvalidPath(_)));
            assert!(matches!(of(b"a\0b"), Error::InvalidPath(_)));
        }
        assert!(matches!(list(&records, &layers, Whose::Layer(9), b"", 0, 9), Err(Error::NotFound(_))));
    }

    #[test]
    fn looking_leaves_nothing_behind() {
        let records = MemoryRecords::new();
        let layers = layers(&records);
        let merged = merge(&records, &layers[0], &layers[1]).unwrap();
        let before = records.len();
        list(&records, &layers, Whose::Layer(2), b"etc", 0, 9).unwrap();
        list(&records, &layers, Whose::Merged(&merged), b"etc", 0, 9).unwrap();
        assert_eq!(records.len(), before);
    }
}
