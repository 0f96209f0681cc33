//! What the layers of an image hold in vain: files that a later layer overwrites, deletes or holds again as they were, and
//! contents that lie at several paths of the result.
//!
//! Every byte of every layer is either seen in the image or counted once as overwritten, deleted or touched: the bytes of the
//! layers are those of the image and of its waste. Contents that lie twice in the image are seen, so they are told of
//! besides. No file is read; each entry of each layer is looked at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use farm_model::BlobDigest;

use crate::error::Error;
use crate::path::{self, MAX_DEPTH};
use crate::record::{DirectoryRef, Entry, File, Node, Tree};
use crate::records::{Records, load};
use crate::top::Top;

/// More entries than the layers of an image may have together, as they are all kept in memory meanwhile.
pub const MOST_ENTRIES: u64 = 5_000_000;

/// What the layers of an image hold in vain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Waste {
    /// The layers, the lowest first.
    pub layers: Vec<LayerWaste>,
    /// Bytes of all layers.
    pub bytes: u64,
    /// Bytes of what the image shows.
    pub seen: u64,
}

/// What one layer holds in vain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LayerWaste {
    /// Its bytes.
    pub bytes: u64,
    /// Files and directories in it.
    pub entries: u64,
    /// Files that a later layer replaces by others.
    pub overwritten: Share,
    /// Files that a later layer deletes.
    pub deleted: Share,
    /// Files that lie below with the same content: only their owner, mode or time is new, if anything.
    pub touched: Share,
    /// Files of the image with content that lies in it at another path too.
    pub duplicated: Share,
}

/// A part of a layer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Share {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The largest of them, the largest first.
    pub worst: Vec<Wasted>,
}

/// A file that a layer holds in vain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wasted {
    /// Its tree path.
    pub path: Vec<u8>,
    /// Its bytes.
    pub bytes: u64,
    /// What makes it so.
    pub because: Because,
}

/// What makes a file waste.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Because {
    /// The layer, from 0, that overwrites or deletes it, or that has it already.
    Layer(u32),
    /// The first path at which the same content lies.
    Path(Vec<u8>),
}

/// Looks for waste in `layers`, the lowest first, and tells of the `worst` files of each kind in each layer.
pub fn waste(records: &dyn Records, layers: &[Tree], worst: usize) -> Result<Waste, Error> {
    let entries = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.root.record.entries));
    if entries > MOST_ENTRIES {
        return Err(Error::TooLarge { entries, limit: MOST_ENTRIES });
    }
    let tallies = layers.iter().map(|layer| Tally::new(layer.root.record, worst)).collect();
    let mut walk = Walk { records, tallies, layer: 0, path: Vec::new() };
    let mut merged = Level::new();
    for (number, layer) in (0_u32..).zip(layers) {
        walk.layer = number;
        if layer.root.opaque {
            walk.drop_level(std::mem::take(&mut merged), Fate::Deleted);
        }
        walk.lay(&mut merged, &layer.root.record, 0)?;
    }
    let mut counts = HashMap::new();
    let seen = count(&merged, &mut counts);
    walk.twins(&merged, &counts, &mut HashMap::new());
    let layers: Vec<_> = walk.tallies.into_iter().map(Tally::finish).collect();
    let bytes = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.bytes));
    Ok(Waste { layers, bytes, seen })
}

impl Waste {
    /// Bytes that a later layer overwrites, deletes, or holds again.
    pub fn wasted(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.wasted()))
    }
}

impl LayerWaste {
    /// Bytes that a later layer overwrites or deletes, or that an earlier one has.
    pub fn wasted(&self) -> u64 {
        [&self.overwritten, &self.deleted, &self.touched]
            .iter()
            .fold(0, |sum, share| sum.saturating_add(share.bytes))
    }
}

/// One directory of what the layers so far show.
type Level = BTreeMap<Arc<[u8]>, Slot>;

enum Slot {
    Directory(Level),
    File(Held),
    Other,
}

/// A file that is seen.
#[derive(Clone, Copy)]
struct Held {
    /// The layer that its bytes lie in.
    layer: u32,
    blob: BlobDigest,
    /// Zero for all but one name of a file with several.
    bytes: u64,
}

#[derive(Clone, Copy)]
enum Fate {
    Overwritten,
    Deleted,
}

struct Walk<'a> {
    records: &'a dyn Records,
    tallies: Vec<Tally>,
    /// The layer that is laid over the others.
    layer: u32,
    /// Where.
    path: Vec<u8>,
}

impl Walk<'_> {
    fn lay(&mut self, level: &mut Level, record: &DirectoryRef, depth: usize) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(Error::TooDeep(path::absolute(&self.path)));
        }
        for (name, entry) in load(self.records, record)?.iter() {
            let length = self.enter(name);
            self.entry(level, name, entry, depth)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        level: &mut Level,
        name: &Arc<[u8]>,
        entry: &Entry,
        depth: usize,
    ) -> Result<(), Error> {
        let below = level.remove(name);
        let slot = match (entry, below) {
            (Entry::Whiteout, below) => {
                self.drop_slot(below, Fate::Deleted);
                return Ok(());
            }
            (Entry::Node(Node::Directory(directory)), below) => {
                let mut inside = match below {
                    Some(Slot::Directory(inside)) if !directory.opaque => inside,
                    Some(Slot::Directory(hidden)) => {
                        self.drop_level(hidden, Fate::Deleted);
                        Level::new()
                    }
                    below => {
                        self.drop_slot(below, Fate::Overwritten);
                        Level::new()
                    }
                };
                self.lay(&mut inside, &directory.record, depth + 1)?;
                Slot::Directory(inside)
            }
            (Entry::Node(Node::File(file)), below) => self.file(file, below),
            (Entry::Node(Node::Symlink(_) | Node::Device(_)), below) => {
                self.drop_slot(below, Fate::Overwritten);
                Slot::Other
            }
        };
        level.insert(Arc::clone(name), slot);
        Ok(())
    }

    fn file(&mut self, file: &File, below: Option<Slot>) -> Slot {
        let counts = file.hard_link.as_deref().is_none_or(|first| first == self.path);
        let bytes = if counts { file.blob.size } else { 0 };
        let held = Held { layer: self.layer, blob: file.blob, bytes };
        match below {
            Some(Slot::File(old)) if old.blob == held.blob && old.bytes > 0 => {
                if bytes > 0 {
                    self.tally(self.layer, |tally| &mut tally.touched, bytes, Because::Layer(old.layer));
                }
                Slot::File(old)
            }
            below => {
                self.drop_slot(below, Fate::Overwritten);
                Slot::File(held)
            }
        }
    }

    fn drop_slot(&mut self, slot: Option<Slot>, fate: Fate) {
        match slot {
            Some(Slot::Directory(level)) => self.drop_level(level, fate),
            Some(Slot::File(held)) if held.bytes > 0 => {
                let by = Because::Layer(self.layer);
                let part: fn(&mut Tally) -> &mut Part = match fate {
                    Fate::Overwritten => |tally| &mut tally.overwritten,
                    Fate::Deleted => |tally| &mut tally.deleted,
                };
                self.tally(held.layer, part, held.bytes, by);
            }
            Some(Slot::File(_) | Slot::Other) | None => {}
        }
    }

    fn drop_level(&mut self, level: Level, fate: Fate) {
        for (name, slot) in level {
            let length = self.enter(&name);
            self.drop_slot(Some(slot), fate);
            self.path.truncate(length);
        }
    }

    /// Tells of all but the first of the paths that show the same content.
    fn twins<'b>(
        &mut self,
        level: &'b Level,
        counts: &HashMap<BlobDigest, u64>,
        first: &mut HashMap<&'b BlobDigest, Vec<u8>>,
    ) {
        for (name, slot) in level {
            let length = self.enter(name);
            match slot {
                Slot::Directory(inside) => self.twins(inside, counts, first),
                Slot::File(held)
                    if held.bytes > 0 && counts.get(&held.blob).is_some_and(|count| *count > 1) =>
                {
                    match first.get(&held.blob) {
                        Some(twin) => {
                            let because = Because::Path(twin.clone());
                            self.tally(held.layer, |tally| &mut tally.duplicated, held.bytes, because);
                        }
                        None => {
                            first.insert(&held.blob, self.path.clone());
                        }
                    }
                }
                Slot::File(_) | Slot::Other => {}
            }
            self.path.truncate(length);
        }
    }

    fn tally(&mut self, layer: u32, part: fn(&mut Tally) -> &mut Part, bytes: u64, because: Because) {
        let place = usize::try_from(layer).unwrap_or(usize::MAX);
        if let Some(tally) = self.tallies.get_mut(place) {
            part(tally).add(&self.path, bytes, because);
        }
    }

    /// Goes to `name` in the directory of `path`; gives what to cut the path to on the way back.
    fn enter(&mut self, name: &[u8]) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        length
    }
}

/// Counts the paths of each content; gives the bytes of all.
fn count(level: &Level, counts: &mut HashMap<BlobDigest, u64>) -> u64 {
    level.values().fold(0, |sum, slot| {
        sum.saturating_add(match slot {
            Slot::Directory(inside) => count(inside, counts),
            Slot::File(held) => {
                if held.bytes > 0 {
                    *counts.entry(held.blob).or_default() += 1;
                }
                held.bytes
            }
            Slot::Other => 0,
        })
    })
}

/// A layer while it is looked at.
struct Tally {
    record: DirectoryRef,
    overwritten: Part,
    deleted: Part,
    touched: Part,
    duplicated: Part,
}

struct Part {
    files: u64,
    bytes: u64,
    worst: Top<u64, Wasted>,
}

impl Tally {
    fn new(record: DirectoryRef, worst: usize) -> Self {
        let part = || Part { files: 0, bytes: 0, worst: Top::new(worst) };
        Self { record, overwritten: part(), deleted: part(), touched: part(), duplicated: part() }
    }

    fn finish(self) -> LayerWaste {
        LayerWaste {
            bytes: self.record.bytes,
            entries: self.record.entries,
            overwritten: self.overwritten.finish(),
            deleted: self.deleted.finish(),
            touched: self.touched.finish(),
            duplicated: self.duplicated.finish(),
        }
    }
}

impl Part {
    fn add(&mut self, path: &[u8], bytes: u64, because: Because) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.worst.offer(bytes, || Wasted { path: path.to_vec(), bytes, because });
    }

    fn finish(self) -> Share {
        Share { files: self.files, bytes: self.bytes, worst: self.worst.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{file, link, linked, tree};
    use crate::{MemoryRecords, Mtime, TreeBuilder};

    fn paths(share: &Share) -> Vec<(String, u64, Because)> {
        share.worst.iter().map(|one| (path::text(&one.path), one.bytes, one.because.clone())).collect()
    }

    #[test]
    fn what_later_layers_hide_is_the_waste_of_the_layer_that_holds_it() {
        let records = MemoryRecords::new();
        let base = tree(
            &records,
            &[
                ("a", file("aaaa")),
                ("b/x", file("bb")),
                ("b/y", file("yyy")),
                ("c", file("c")),
                ("keep", file("k")),
            ],
        );
        let mut layer = TreeBuilder::default();
        layer.insert(b"a", file("AAAAA")).unwrap();
        layer.whiteout(b"b").unwrap();
        layer.insert(b"c", link("a")).unwrap();
        let layer = layer.finish(&records).unwrap();
        let found = waste(&records, &[base, layer], 10).unwrap();
        let lower = &found.layers[0];
        assert_eq!((lower.overwritten.files, lower.overwritten.bytes), (2, 5));
        assert_eq!(paths(&lower.overwritten)[0], ("a".to_owned(), 4, Because::Layer(1)));
        assert_eq!((lower.deleted.files, lower.deleted.bytes), (2, 5));
        assert_eq!(paths(&lower.deleted)[0], ("b/y".to_owned(), 3, Because::Layer(1)));
        assert_eq!(found.layers[1].wasted(), 0);
        assert_eq!((found.bytes, found.seen, found.wasted()), (16, 6, 10));
    }

    #[test]
    fn a_file_that_is_only_touched_lies_in_the_image_twice() {
        let records = MemoryRecords::new();
        let base = tree(&records, &[("d/a", file("1234"))]);
        let mut touched = file("1234");
        touched.metadata_mut().mtime = Mtime(7);
        touched.metadata_mut().uid = 9;
        let upper = tree(&records, &[("d/a", touched)]);
        let last = tree(&records, &[("d/a", file("5"))]);
        let found = waste(&records, &[base.clone(), upper.clone()], 10).unwrap();
        assert_eq!(paths(&found.layers[1].touched), [("d/a".to_owned(), 4, Because::Layer(0))]);
        assert_eq!((found.bytes, found.seen, found.wasted()), (8, 4, 4));
        let found = waste(&records, &[base, upper, last], 10).unwrap();
        assert_eq!(found.layers[0].overwritten.bytes, 4);
        assert_eq!((found.bytes, found.seen, found.wasted()), (9, 1, 8));
    }

    #[test]
    fn content_at_several_paths_is_told_with_the_first_of_them() {
        let records = MemoryRecords::new();
        let base = tree(&records, &[("a", file("same")), ("e", file("")), ("f", file(""))]);
        let upper = tree(&records, &[("lib/b", file("same")), ("z", file("same"))]);
        let found = waste(&records, &[base, upper], 1).unwrap();
        let share = &found.layers[1].duplicated;
        assert_eq!((share.files, share.bytes, share.worst.len()), (2, 8, 1));
        assert_eq!(paths(share), [("lib/b".to_owned(), 4, Because::Path(b"a".to_vec()))]);
        assert_eq!((found.layers[0].duplicated.files, found.wasted()), (0, 0));
    }

    #[test]
    fn several_names_of_one_file_weigh_once() {
        let records = MemoryRecords::new();
        let base = tree(&records, &[("a", linked("1234", "a")), ("b", linked("1234", "a"))]);
        let found = waste(&records, std::slice::from_ref(&base), 10).unwrap();
        assert_eq!((found.bytes, found.seen, found.layers[0].duplicated.files), (4, 4, 0));
        let mut gone = TreeBuilder::default();
        gone.whiteout(b"a").unwrap();
        let gone = gone.finish(&records).unwrap();
        assert_eq!(waste(&records, &[base, gone], 10).unwrap().layers[0].deleted.files, 1);
    }

    #[test]
    fn an_opaque_directory_deletes_what_it_hides_and_a_file_over_a_directory_overwrites_it() {
        let records = MemoryRecords::new();
        let base = tree(&records, &[("o/x", file("11")), ("p/y", file("222"))]);
        let mut layer = TreeBuilder::default();
        layer.insert(b"o/z", file("3")).unwrap();
        layer.opaque(b"o").unwrap();
        layer.insert(b"p", file("4")).unwrap();
        let layer = layer.finish(&records).unwrap();
        let found = waste(&records, &[base, layer], 10).unwrap();
        let lower = &found.layers[0];
        assert_eq!((lower.deleted.bytes, lower.overwritten.bytes, found.seen), (2, 3, 2));
    }

    #[test]
    fn a_tree_that_claims_too_many_entries_is_refused() {
        let records = MemoryRecords::new();
        let mut huge = Tree::empty();
        huge.root.record.entries = MOST_ENTRIES + 1;
        assert!(matches!(waste(&records, &[huge], 1), Err(Error::TooLarge { .. })));
    }
}
