//! Which repository of a registry is known to have a blob, so that a push to another repository there can mount it.
//!
//! What is remembered is a hint: a registry that does not have the blob any more says so, and gets the bytes.

use std::collections::BTreeMap;

use farm_model::{OciDigest, Reference};
use farm_store::{Store, Tag};

use crate::Error;
use crate::build::now;

/// No reference holds a space, so this is no tag's name.
fn key(registry: &str, digest: &OciDigest) -> String {
    format!("blob {registry} {digest}")
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
