//! The part of a directory that patterns leave, with owners and modes changed.
//!
//! A subtree that nothing touches is taken over by its digest, unread.

use std::collections::BTreeMap;

use super::{Adjustment, What};
use crate::TreeBuilder;
use crate::error::Error;
use crate::glob::{Inherited, Patterns};
use crate::path;
use crate::record::{Directory, DirectoryRef, Entry, Node};
use crate::records::{Records, load};

/// The contents of the directory `record` that `include`, if given, matches and `exclude` does not.
pub(super) fn contents(
    records: &dyn Records,
    record: DirectoryRef,
    include: Option<&Patterns>,
    exclude: &Patterns,
    adjustment: &Adjustment,
) -> Result<What, Error> {
    let mut extract = Extract {
        records,
        include,
        exclude,
        adjustment,
        builder: TreeBuilder::default(),
        held_back: Vec::new(),
        partial: BTreeMap::new(),
    };
    if include.is_none() && exclude.is_empty() && extract.leaves_as_is(&record) {
        return Ok(What::Contents { record, partial: BTreeMap::new() });
    }
    extract.descend(&record, b"", &Inherited::default(), &Inherited::default())?;
    let record = extract.builder.finish(records)?.root.record;
    Ok(What::Contents { record, partial: extract.partial })
}

struct Extract<'a> {
    records: &'a dyn Records,
    include: Option<&'a Patterns>,
    exclude: &'a Patterns,
    adjustment: &'a Adjustment,
    builder: TreeBuilder,
    /// Directories on the way down that are not selected themselves and not made yet.
    held_back: Vec<(Vec<u8>, Directory)>,
    partial: BTreeMap<Vec<u8>, u16>,
}

impl Extract<'_> {
    /// Whether a directory that is wholly selected keeps its record.
    fn leaves_as_is(&self, record: &DirectoryRef) -> bool {
        self.adjustment.is_none() && record.linked == 0
    }

    fn descend(
        &mut self,
        record: &DirectoryRef,
        at: &[u8],
        including: &Inherited,
        excluding: &Inherited,
    ) -> Result<(), Error> {
        for (name, entry) in load(self.records, record)?.iter() {
            let Entry::Node(node) = entry else { continue };
            let path = path::join(at, name);
            if path.len() >= path::MAX_PATH || path.split(|byte| *byte == b'/').count() > path::MAX_DEPTH {
                return Err(Error::TooDeep(path::absolute(at)));
            }
            let (included, including) = match self.include {
                Some(include) => {
                    let verdict = include.matches(&path, including);
                    (verdict.matched, verdict.inherited)
                }
                None => (true, Inherited::default()),
            };
            let verdict = self.exclude.matches(&path, excluding);
            let selected = included && !verdict.matched;
            match node {
                Node::Directory(directory) => {
                    let may_include =
                        included || self.include.is_some_and(|include| include.may_match_below(&path));
                    let may_return = !verdict.matched || self.exclude.has_exceptions();
                    if selected {
                        self.make_held_back()?;
                        if self.takes_all_of(directory, &path) {
                            self.builder.graft(&path, directory.clone())?;
                            continue;
                        }
                        self.builder.insert(&path, self.adjusted(directory))?;
                    } else if !may_include || !may_return {
                        continue;
                    } else {
                        self.held_back.push((path.clone(), directory.clone()));
                    }
                    self.descend(&directory.record, &path, &including, &verdict.inherited)?;
                    self.held_back.pop_if(|(held, _)| *held == path);
                }
                Node::File(_) | Node::Symlink(_) | Node::Device(_) if selected => {
                    self.make_held_back()?;
                    self.builder.insert(&path, self.adjustment.apply(node.clone()))?;
                }
                Node::File(_) | Node::Symlink(_) | Node::Device(_) => {}
            }
        }
        Ok(())
    }

    /// Whether everything in the selected directory at `path` is selected and unchanged.
    fn takes_all_of(&self, directory: &Directory, path: &[u8]) -> bool {
        self.leaves_as_is(&directory.record) && !self.exclude.may_match_below(path)
    }

    fn adjusted(&self, directory: &Directory) -> Node {
        self.adjustment.apply(Node::Directory(directory.clone()))
    }

    /// Makes the directories that something selected lies in.
    fn make_held_back(&mut self) -> Result<(), Error> {
        for (path, directory) in std::mem::take(&mut self.held_back) {
            self.builder.insert(&path, self.adjusted(&directory))?;
            self.partial.insert(path, directory.metadata.mode);
        }
        Ok(())
    }
}
