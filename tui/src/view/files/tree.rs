//! Directories that are known or asked for, and which of them are unfolded.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::app::effect::{Answer, Query};
use crate::app::filter::Filter;
use crate::state::images::Entry;
use crate::state::text::harmless;
use crate::view::images::Asked;

/// Rows that are shown at most.
const MOST_ROWS: usize = 200_000;

/// A row of the tree: an entry, or what is said where there is none.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// From the root of the image, without a leading slash; of a note that of its directory.
    pub(super) path: String,
    /// How many directories lie above it.
    pub(super) depth: usize,
    /// Its position in its directory; none for a note.
    at: Option<usize>,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.at.is_some() == other.at.is_some()
    }
}

impl Item {
    /// Whether it is the entry of a path.
    pub(super) fn is(&self, path: &str) -> bool {
        self.at.is_some() && self.path == path
    }
}

/// What a directory holds, and how many entries more.
type Listing = (Vec<Entry>, u64);

/// The tree of an image or of a layer.
#[derive(Debug)]
pub(super) struct Tree {
    image: String,
    layer: Option<u32>,
    directories: BTreeMap<String, Asked<Listing>>,
    open: BTreeSet<String>,
}

impl Tree {
    /// The root, unfolded.
    pub(super) fn new(image: String, layer: Option<u32>) -> Self {
        let mut tree = Self { image, layer, directories: BTreeMap::new(), open: BTreeSet::new() };
        tree.toggle("");
        tree
    }

    /// Folds a directory or unfolds it; what is not known of it is asked for.
    pub(super) fn toggle(&mut self, path: &str) {
        if self.open.remove(path) {
            return;
        }
        self.open.insert(path.to_owned());
        let is_known = self.directories.get(path).is_some_and(|asked| !matches!(asked, Asked::Refused(_)));
        if !is_known {
            let (image, layer, path) = (self.image.clone(), self.layer, path.to_owned());
            let query = Query::Entries { image, layer, path: path.clone() };
            self.directories.insert(path, Asked::of(query));
        }
    }

    pub(super) fn is_open(&self, path: &str) -> bool {
        self.open.contains(path)
    }

    /// What it needs to know, each once.
    pub(super) fn asks(&mut self) -> Vec<Query> {
        self.directories.values_mut().filter_map(Asked::take).collect()
    }

    /// Takes an answer, if it is one to its questions.
    pub(super) fn answer(&mut self, answer: &Answer) {
        if let Answer::Entries { query: Query::Entries { image, layer, path }, entries, more } = answer
            && (image, layer) == (&self.image, &self.layer)
            && let Some(directory) = self.directories.get_mut(path)
        {
            *directory = Asked::Known((entries.clone(), *more));
            return;
        }
        // The first that is open takes the refusal.
        let _refused = self.directories.values_mut().any(|directory| directory.refuse(answer));
    }

    /// The entry of a row; none for a note.
    pub(super) fn entry(&self, item: &Item) -> Option<&Entry> {
        let parent = item.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.directories.get(parent)?.known()?.0.get(item.at?)
    }

    /// What a row says that is no entry.
    pub(super) fn note(&self, item: &Item) -> String {
        match self.directories.get(&item.path) {
            Some(Asked::Known((_, more))) => format!("and {more} more"),
            Some(Asked::Refused(why)) => harmless(why).into_owned(),
            Some(Asked::Not | Asked::Wanted(_) | Asked::Waiting) | None => {
                "asking for what it holds".to_owned()
            }
        }
    }

    /// The rows, directories unfolded, each in this order.
    pub(super) fn rows(&self, filter: &Filter, order: impl Fn(&Entry, &Entry) -> Ordering) -> Vec<Item> {
        let mut rows = Vec::new();
        // What is still to be shown, the next last.
        let mut stack = Vec::new();
        self.push("", 0, &order, &mut stack);
        while let Some(item) = stack.pop() {
            if rows.len() >= MOST_ROWS {
                break;
            }
            let is_open = item.at.is_some() && self.is_open(&item.path);
            if is_open || item.at.is_none() || filter.matches(item.path.as_str()) {
                rows.push(item.clone());
            }
            if is_open {
                self.push(&item.path, item.depth + 1, &order, &mut stack);
            }
        }
        rows
    }

    fn push(
        &self,
        path: &str,
        depth: usize,
        order: impl Fn(&Entry, &Entry) -> Ordering,
        stack: &mut Vec<Item>,
    ) {
        let note = Item { path: path.to_owned(), depth, at: None };
        let Some((entries, more)) = self.directories.get(path).and_then(Asked::known) else {
            stack.push(note);
            return;
        };
        if *more > 0 {
            stack.push(note);
        }
        let mut places: Vec<usize> = (0..entries.len()).collect();
        places.sort_by(|a, b| order(&entries[*b], &entries[*a]));
        stack.extend(places.into_iter().map(|at| {
            let name = &entries[at].name;
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            Item { path, depth, at: Some(at) }
        }));
    }
}
