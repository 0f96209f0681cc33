//! Gives back the space of packs that are mostly dead: what lives in them is appended to the current pack.

use std::collections::{BTreeSet, HashMap};

use farm_model::BlobDigest;

use crate::blobs::{Own, blob_of_key, read_row};
use crate::database::Table;
use crate::error::Context;
use crate::{Error, Store};

/// A pack is rewritten when less than this many hundredths of it live.
const ENOUGH_ALIVE: u64 = 75;

pub(super) fn compact(store: &Store) -> Result<(), Error> {
    let core = &store.core;
    // Nothing is appended to packs before this one while they are looked at.
    let first_new = core.packs.roll();
    let mut alive: HashMap<u64, u64> = HashMap::new();
    each_packed(store, &mut |blob, pack| *alive.entry(pack).or_default() += blob.size)?;
    let mut sparse = BTreeSet::new();
    for pack in core.packs.all()? {
        let path = core.packs.path(pack);
        let size = path.metadata().while_doing("read", &path)?.len();
        let alive = alive.get(&pack).copied().unwrap_or(0);
        if pack < first_new && alive.saturating_mul(100) < size.saturating_mul(ENOUGH_ALIVE) {
            sparse.insert(pack);
        }
    }
    if sparse.is_empty() {
        return Ok(());
    }
    let mut moving = Vec::new();
    each_packed(store, &mut |blob, pack| {
        if sparse.contains(&pack) {
            moving.push(*blob);
        }
    })?;
    for blob in &moving {
        move_blob(store, blob)?;
    }
    store.sync()?;
    sparse.iter().try_for_each(|pack| store.throw_away(&core.packs.retire(*pack)))
}

fn move_blob(store: &Store, blob: &BlobDigest) -> Result<(), Error> {
    match store.read_blob(blob, blob.size) {
        Ok(bytes) => store.keep_small(blob, &bytes),
        // It was found damaged on the way and is forgotten.
        Err(Error::MissingBlob(_) | Error::Corrupt(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn each_packed(store: &Store, visit: &mut dyn FnMut(&BlobDigest, u64)) -> Result<(), Error> {
    store.core.database.each(Table::Blobs, &mut |key, row| {
        if let Some(blob) = blob_of_key(key)
            && let Own::Pack(slot) = read_row(row)?
        {
            visit(&blob, slot.pack);
        }
        Ok(())
    })
}
