//! Directory records of a context on their way from the client into the store.

use std::collections::HashSet;

use farm_model::{ContextName, DirectoryDigest};
use farm_store::Store;
use farm_tree::{Entry, Node, Records as _, Tree, walk};

use super::Ingest;
use crate::build::blocking;
use crate::{Error, Session};

/// More directories than any context has.
const MOST: usize = 4_000_000;

/// Has the records of `tree` in the store. A tree that the store knows has all of them; otherwise those that are missing
/// are asked for, level by level. What the client says of itself is checked before it is believed.
pub(super) async fn bring(
    session: &Session,
    store: &Store,
    name: &ContextName,
    tree: &Tree,
) -> Result<Ingest, Error> {
    let (own, layer) = (store.clone(), tree.layer_digest());
    if blocking(move || Ok(own.tree(&layer)?)).await?.is_some() {
        return Ok(Ingest::Complete);
    }
    let mut search = Search { seen: HashSet::new(), open: vec![tree.root.record.digest] };
    loop {
        let own = store.clone();
        let (searched, missing) = blocking(move || {
            let missing = search.missing(&own)?;
            Ok((search, missing))
        })
        .await?;
        search = searched;
        if missing.is_empty() {
            break;
        }
        if !session.records(store, name, &missing).await?.is_empty() {
            // It was scanned again meanwhile, for another step of another build maybe.
            return Ok(Ingest::Changed);
        }
        if search.seen.len() + missing.len() > MOST {
            let reason = format!("it has more than {MOST} directories");
            return Err(Error::Context { context: name.clone(), reason, hint: None });
        }
        search.open = missing;
    }
    let (own, tree) = (store.clone(), tree.clone());
    blocking(move || {
        walk::verify(&own, &tree)?;
        own.put_tree(&tree)?;
        Ok(Ingest::Complete)
    })
    .await
}

/// A walk over what is there, which ends at what is not.
struct Search {
    seen: HashSet<DirectoryDigest>,
    open: Vec<DirectoryDigest>,
}

impl Search {
    /// The records that are not in the store, below those that are open.
    fn missing(&mut self, store: &Store) -> Result<Vec<DirectoryDigest>, Error> {
        let mut missing = Vec::new();
        while let Some(digest) = self.open.pop() {
            if self.seen.contains(&digest) {
                continue;
            }
            if !store.has_record(&digest)? {
                missing.push(digest);
                continue;
            }
            self.seen.insert(digest);
            self.open.extend(store.entries(digest)?.values().filter_map(|entry| match entry {
                Entry::Node(Node::Directory(directory)) => Some(directory.record.digest),
                Entry::Node(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout => None,
            }));
        }
        missing.sort_unstable();
        missing.dedup();
        Ok(missing)
    }
}
