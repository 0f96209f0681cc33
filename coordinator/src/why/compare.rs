//! Two preimages, field by field.

use std::collections::BTreeMap;

use farm_model::event::{Change, MissReason};
use farm_model::op::Origin;
use farm_model::{Op, Step, StepId};
use farm_store::Store;
use farm_tree::diff::{ChangeKind, changes};
use farm_tree::{Entry, Node, Records as _, Tree};

use super::{Open, Witness};
use crate::key::{ARGUMENT, BASE, MOUNT_CONTENT, OPERATION, Preimage, SOURCES, VARIABLE};
use crate::stage::Shared;

/// The step that was not found.
pub(super) struct Now {
    pub(super) preimage: Preimage,
    pub(super) witness: Witness,
    /// The step before it in its stage.
    pub(super) before: Option<StepId>,
    /// What its files come from, in words.
    pub(super) origin: String,
}

/// Where a `COPY` takes its files from, in words.
pub(super) fn origin(shared: &Shared, step: &Step) -> String {
    let Op::Copy(copy) = &step.op else { return String::new() };
    match &copy.from {
        Origin::Context(context) => context.to_string(),
        Origin::Stage(id) => shared
            .graph
            .stage(*id)
            .map_or_else(|| "a stage".to_owned(), |stage| format!("stage {}", stage.label())),
        Origin::Image(id) => {
            let image = usize::try_from(id.0).ok().and_then(|index| shared.graph.images.get(index));
            image.map_or_else(|| "an image".to_owned(), |image| image.source.to_string())
        }
        Origin::Scratch => "scratch".to_owned(),
    }
}

/// Every difference, the most telling first: what the user wrote, then what the step reads, then what it stands on.
pub(super) fn compare(
    store: &Store,
    then: &Preimage,
    witness: &Witness,
    now: &Now,
    open: Open,
) -> Vec<MissReason> {
    let (old, new) = (by_name(then), by_name(&now.preimage));
    let names = new.keys().chain(old.keys().filter(|name| !new.contains_key(*name)));
    let differs = |name: &&&str| old.get(**name) != new.get(**name) && !open.covers(name);
    let differing: Vec<&str> = names.filter(differs).copied().collect();
    let mut found: Vec<(u8, MissReason)> = Vec::new();
    let written = |name: &&&str| **name == OPERATION || name.starts_with(ARGUMENT);
    if differing.iter().any(|name| written(&name)) {
        let (before, after) = (witness.instruction.clone(), now.witness.instruction.clone());
        found.push((0, MissReason::Instruction { before, after }));
    }
    for name in differing.iter().filter(|name| !written(name)) {
        let (before, after) = (old.get(name).copied(), new.get(name).copied());
        found.push(if let Some(variable) = name.strip_prefix(VARIABLE) {
            (1, MissReason::Variable { name: variable.to_owned(), change: change(before, after) })
        } else if *name == SOURCES {
            (2, files(store, name, &now.origin, witness, now))
        } else if let Some(target) = name.strip_prefix(MOUNT_CONTENT) {
            (2, files(store, name, &format!("mount {target}"), witness, now))
        } else if *name == BASE {
            (4, stands_on(store, witness, now))
        } else {
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            (3, MissReason::Setting { name: (*name).to_owned(), before: text(before), after: text(after) })
        });
    }
    // The order of equal ranks is that of the fields.
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, reason)| reason).collect()
}

fn by_name(preimage: &Preimage) -> BTreeMap<&str, &[u8]> {
    preimage.fields().iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

fn change(before: Option<&[u8]>, after: Option<&[u8]>) -> Change {
    match (before, after) {
        (None, _) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(_), Some(_)) => Change::Modified,
    }
}

/// The first path in which the trees behind a field differ, how it does, how many do, and how many there are.
fn first(store: &Store, field: &str, then: &Witness, now: &Now) -> Option<(String, Change, u64, u64)> {
    let (before, after) = (then.tree(field)?, now.witness.tree(field)?);
    // What was pruned meanwhile cannot be compared any more; that is no reason to fail a build.
    let found = changes(store, before, after, 1).ok()?;
    let path = found.list.first()?;
    let change = match path.kind {
        ChangeKind::Added => Change::Added,
        ChangeKind::Deleted => Change::Removed,
        ChangeKind::Contents | ChangeKind::Metadata => Change::Modified,
    };
    let text = String::from_utf8_lossy(&path.path).into_owned();
    Some((text, change, found.total, files_in(store, after)?))
}

/// How many files a tree has, links and devices among them.
fn files_in(store: &Store, tree: &Tree) -> Option<u64> {
    let (mut open, mut count) = (vec![tree.root.record.digest], 0_u64);
    while let Some(digest) = open.pop() {
        for entry in store.entries(digest).ok()?.values() {
            match entry {
                Entry::Node(Node::Directory(directory)) => open.push(directory.record.digest),
                Entry::Node(Node::File(_) | Node::Symlink(_) | Node::Device(_)) => count += 1,
                Entry::Whiteout => {}
            }
        }
    }
    Some(count)
}

fn files(store: &Store, field: &str, origin: &str, then: &Witness, now: &Now) -> MissReason {
    let (first, change, changed, total) =
        first(store, field, then, now).unwrap_or_else(|| ("?".to_owned(), Change::Modified, 0, 0));
    MissReason::Files { origin: origin.to_owned(), first, change, changed, total }
}

/// The parent's tree is another: because of the step before, or because of the base image.
fn stands_on(store: &Store, then: &Witness, now: &Now) -> MissReason {
    if now.before.is_none()
        && let (Some((_, before)), Some((image, after))) = (&then.base, &now.witness.base)
        && before != after
    {
        return MissReason::Base { image: image.clone(), before: *before, after: *after };
    }
    let first = first(store, BASE, then, now).map(|(path, ..)| path);
    MissReason::Parent { step: now.before, first }
}

#[cfg(test)]
mod tests {
    use farm_model::BlobDigest;
    use farm_tree::{File, Metadata, Mtime, TreeBuilder};

    use super::*;

    fn tree(store: &Store, files: &[(&str, &str)]) -> Tree {
        let mut builder = TreeBuilder::default();
        for (path, text) in files {
            let metadata = Metadata::plain(0o644, Mtime(1));
            let file = File { metadata, blob: BlobDigest::of(text.as_bytes()), hard_link: None };
            builder.insert(path.as_bytes(), Node::File(file)).unwrap();
        }
        let tree = builder.finish(store).unwrap();
        store.put_tree(&tree).unwrap();
        tree
    }

    fn step(store: &Store, argument: &str, variable: &str, files: &[(&str, &str)]) -> (Preimage, Witness) {
        let mut preimage = Preimage::default();
        preimage.text(OPERATION, "copy");
        preimage.text(format!("{ARGUMENT}0"), argument);
        preimage.text(format!("{VARIABLE}SHA"), variable);
        let sources = tree(store, files);
        preimage.digest(SOURCES, sources.content_digest());
        preimage.tree(SOURCES, sources);
        let trees = preimage.trees().to_vec();
        (preimage, Witness { instruction: format!("COPY {argument}"), base: None, trees })
    }

    fn reasons(then: (&str, &str, &[(&str, &str)]), now: (&str, &str, &[(&str, &str)])) -> Vec<MissReason> {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let (old, old_witness) = step(&store, then.0, then.1, then.2);
        let (preimage, witness) = step(&store, now.0, now.1, now.2);
        let now = Now { preimage, witness, before: None, origin: "context".to_owned() };
        compare(&store, &old, &old_witness, &now, Open::Nothing)
    }

    #[test]
    fn a_changed_file_is_found_among_many() {
        let before = [("a", "1"), ("src/b", "2"), ("src/c", "3")];
        let after = [("a", "1"), ("src/b", "changed"), ("src/c", "3")];
        let found = reasons((".", "1", &before), (".", "1", &after));
        let wanted = MissReason::Files {
            origin: "context".into(),
            first: "src/b".into(),
            change: Change::Modified,
            changed: 1,
            total: 3,
        };
        assert_eq!(found, [wanted]);
    }

    #[test]
    fn what_was_written_comes_before_what_is_read() {
        let found = reasons((".", "1", &[("a", "1")]), ("x", "2", &[("a", "1"), ("b", "1")]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], MissReason::Instruction { before: "COPY .".into(), after: "COPY x".into() });
        assert_eq!(found[1], MissReason::Variable { name: "SHA".into(), change: Change::Modified });
    }
}
