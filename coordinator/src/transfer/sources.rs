//! Which repository of a registry is known to have a blob: a push to another repository there can mount it, and an export
//! can have it again when it is not kept here.
//!
//! What is remembered is a hint: a registry that does not have the blob any more says so.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::{OciDigest, Reference};
use farm_store::{Store, Tag};

use crate::Error;
use crate::build::now;

/// No reference holds a space, so this begins no tag's name.
const BEGINNING: &str = "blob ";

fn key(registry: &str, digest: &OciDigest) -> String {
    format!("{BEGINNING}{registry} {digest}")
}

/// Remembers that the repository of `reference` has these blobs.
pub(crate) fn remember<'a>(
    store: &Store,
    reference: &Reference,
    blobs: impl IntoIterator<Item = &'a OciDigest>,
) -> Result<(), Error> {
    for digest in blobs {
        let bytes = reference.repository.clone().into_bytes();
        store.put_tag(&key(&reference.registry, digest), &Tag { bytes, time: now() })?;
    }
    Ok(())
}

/// Repositories in the registry of `reference`, by the blobs that they are known to have.
pub(super) fn of<'a>(
    store: &Store,
    reference: &Reference,
    blobs: impl IntoIterator<Item = &'a OciDigest>,
) -> Result<BTreeMap<OciDigest, Vec<String>>, Error> {
    let mut known = BTreeMap::new();
    for digest in blobs {
        if let Some(tag) = store.tag(&key(&reference.registry, digest))?
            && let Ok(repository) = String::from_utf8(tag.bytes)
        {
            known.insert(*digest, vec![repository]);
        }
    }
    Ok(known)
}

/// Every repository that is known to have one of `blobs`, with those. Looks at all that is remembered.
pub(super) fn with_any(
    store: &Store,
    blobs: &BTreeSet<OciDigest>,
) -> Result<Vec<(Reference, BTreeSet<OciDigest>)>, Error> {
    let mut known: BTreeMap<(String, String), BTreeSet<OciDigest>> = BTreeMap::new();
    for (key, tag) in store.tags(BEGINNING)? {
        let place = key.strip_prefix(BEGINNING).and_then(|rest| rest.split_once(' '));
        if let Some((registry, digest)) = place
            && let Ok(digest) = digest.parse()
            && blobs.contains(&digest)
            && let Ok(repository) = String::from_utf8(tag.bytes)
        {
            known.entry((registry.to_owned(), repository)).or_default().insert(digest);
        }
    }
    let reference = |((registry, repository), digests)| {
        (Reference { registry, repository, tag: None, digest: None }, digests)
    };
    Ok(known.into_iter().map(reference).collect())
}
