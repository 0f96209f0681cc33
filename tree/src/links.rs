//! Files with several names, while a tree is being made.
//!
//! In a finished tree every member of a group carries the group's first path in byte order. Which path that is, is
//! known only when all names are: until then members refer to their group by number.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::record::{File, Node};

/// The groups of a tree in the making.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    files: Vec<File>,
    /// Groups by the first path that their members said.
    named: BTreeMap<Arc<[u8]>, Vec<usize>>,
}

/// The names that a group has, and the first of them.
pub(crate) type Election = Vec<(usize, Option<Vec<u8>>)>;

impl Groups {
    /// From now on the same first path means another group: files of another tree follow.
    pub(crate) fn forget_names(&mut self) {
        self.named.clear();
    }

    /// The group of `file`: that of the files that say the same first path and are equal, else a new one.
    pub(crate) fn join(&mut self, file: File) -> usize {
        let next = self.files.len();
        if let Some(first) = &file.hard_link {
            let known = self.named.entry(Arc::clone(first)).or_default();
            if let Some(group) = known.iter().find(|group| self.files[**group] == file) {
                return *group;
            }
            known.push(next);
        }
        self.files.push(file);
        next
    }

    /// The file that all members of `group` are.
    pub(crate) fn file(&self, group: usize) -> &File {
        &self.files[group]
    }

    /// A member of `group`.
    pub(crate) fn node(&self, group: usize) -> Node {
        Node::File(self.files[group].clone())
    }

    /// Where names are counted; none when there is no group.
    pub(crate) fn ballot(&self) -> Option<Election> {
        (!self.files.is_empty()).then(|| vec![(0, None); self.files.len()])
    }

    /// Counts the name `path` of `group`.
    pub(crate) fn count(ballot: &mut Election, group: usize, path: Vec<u8>) {
        let (count, first) = &mut ballot[group];
        *count += 1;
        if first.as_ref().is_none_or(|first| path < *first) {
            *first = Some(path);
        }
    }

    /// Writes the first path into every group, or none where one name is left.
    pub(crate) fn elect(&mut self, ballot: Election) {
        for (file, (count, first)) in self.files.iter_mut().zip(ballot) {
            file.hard_link = first.filter(|_| count > 1).map(Arc::from);
        }
    }
}
