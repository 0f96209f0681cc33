//! Which repository of a registry is known to have a blob: a push to another repository there can mount it, and an export
//! can have it again when it is not kept here.
//!
//! What is remembered is a hint: a registry that does not have the blob any more says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use farm_model::{OciDigest, Reference};
use farm_store::{Store, Tag};

use crate::Error;
use crate::build::now;

/// For how long it is remembered where a blob is that nothing here needs.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
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

/// Forgets what was heard long ago of blobs that are not `needed`.
pub(crate) fn forget_old(store: &Store, needed: &BTreeSet<OciDigest>) -> Result<(), Error> {
    let oldest = now().saturating_sub(i64::try_from(REMEMBERED.as_nanos()).unwrap_or(i64::MAX));
    let is_needed = |key: &str| {
        let digest = key.rsplit(' ').next().and_then(|digest| digest.parse().ok());
        digest.is_some_and(|digest| needed.contains(&digest))
    };
    Ok(store.forget_tags(BEGINNING, &|key, time| time < oldest && !is_needed(key))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_long_ago_is_forgotten_unless_it_is_needed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let reference: Reference = "registry.example/team/app:1".parse().unwrap();
        let [old, needed, new] = [1, 2, 3].map(|byte| OciDigest([byte; 32]));
        remember(&store, &reference, [&old, &needed, &new]).unwrap();
        for digest in [&old, &needed] {
            let key = key(&reference.registry, digest);
            let tag = store.tag(&key).unwrap().unwrap();
            store.put_tag(&key, &Tag { time: 0, ..tag }).unwrap();
        }
        forget_old(&store, &BTreeSet::from([needed])).unwrap();
        let known = of(&store, &reference, [&old, &needed, &new]).unwrap();
        assert_eq!(known.into_keys().collect::<Vec<_>>(), [needed, new]);
    }
}
