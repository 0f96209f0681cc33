//! When layers and packed blobs were used last, for pruning what was not used for longest.
//!
//! Times are coarse: a use is written when the last one that was written is an hour old. The wall clock is good enough; a
//! clock that jumps changes the order in which things are pruned and nothing else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use farm_model::encoding::Decoder;
use farm_model::{LayerDigest, OciDigest};

use crate::database::{Table, read_value, value};
use crate::{Error, Store};

const LAYER: u8 = 0;
const OCI: u8 = 1;
const PRECISION_SECONDS: u64 = 3600;
/// More than a store uses in an hour; beyond it times are written more often than needed.
const REMEMBERED: usize = 20_000;

/// Kind and digest of what was used.
pub(crate) type UseKey = [u8; 33];

/// Which uses this process has written, and when.
#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<UseKey, u64>>);

impl Store {
    pub(crate) fn layer_used(&self, layer: &LayerDigest) -> Result<(), Error> {
        self.used(layer_key(layer))
    }

    pub(crate) fn oci_used(&self, digest: &OciDigest) -> Result<(), Error> {
        self.used(oci_key(digest))
    }

    fn used(&self, key: UseKey) -> Result<(), Error> {
        let now = now_seconds();
        {
            let mut written = self.core.uses.0.lock().unwrap_or_else(PoisonError::into_inner);
            if written.get(&key).is_some_and(|last| now.abs_diff(*last) < PRECISION_SECONDS) {
                return Ok(());
            }
            if written.len() >= REMEMBERED {
                written.clear();
            }
            written.insert(key, now);
        }
        let mut row = value();
        row.u64(now);
        self.core.database.put(Table::Uses, &key, row.as_bytes())
    }

    /// Every recorded use, in seconds since the Unix epoch.
    pub(crate) fn last_uses(&self) -> Result<HashMap<UseKey, u64>, Error> {
        let mut uses = HashMap::new();
        self.core.database.each(Table::Uses, &mut |key, row| {
            if let Ok(key) = key.try_into() {
                uses.insert(key, read_value(Table::Uses, row, Decoder::u64)?);
            }
            Ok(())
        })?;
        Ok(uses)
    }
}

pub(crate) fn layer_key(layer: &LayerDigest) -> UseKey {
    key(LAYER, layer.as_bytes())
}

pub(crate) fn oci_key(digest: &OciDigest) -> UseKey {
    key(OCI, &digest.0)
}

fn key(kind: u8, digest: &[u8; 32]) -> UseKey {
    let mut key = [kind; 33];
    key[1..].copy_from_slice(digest);
    key
}

pub(crate) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
