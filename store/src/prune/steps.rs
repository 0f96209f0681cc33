//! Drops records that lost their layer. What explains a miss stays for the last step of each family.

use std::collections::HashSet;
use std::sync::PoisonError;

use crate::database::{Table, Write, read_value};
use crate::oci::decode_packed;
use crate::steps::{decode_layer, decode_result, read_canonical};
use crate::{Error, Store};

const BATCH: usize = 128;

pub(super) fn sweep(store: &Store) -> Result<(), Error> {
    let last = last_of_families(store)?;
    let is_dead = |row: &[u8]| match read_value(Table::Steps, row, decode_result)?.layer {
        Some(layer) => is_gone(store, layer.digest.as_bytes()),
        None => Ok(false),
    };
    drop_rows(store, Table::Steps, &is_dead)?;
    let is_dead = |row: &[u8]| is_gone(store, read_canonical(row)?.layer.digest.as_bytes());
    drop_rows(store, Table::Canonical, &is_dead)?;
    let is_dead =
        |row: &[u8]| is_gone(store, read_value(Table::BaseLayers, row, decode_layer)?.digest.as_bytes());
    drop_rows(store, Table::BaseLayers, &is_dead)?;
    drop_forms(store)?;
    drop_explanations(store, &last)
}

/// Drops what is remembered of packed forms whose layer is gone and whose bytes are not here.
fn drop_forms(store: &Store) -> Result<(), Error> {
    let database = &store.core.database;
    let mut dead = Vec::new();
    database.each(Table::Packed, &mut |key, row| {
        let (_, packed) = decode_packed(row)?;
        if let Some((layer, _)) = key.split_first_chunk::<32>()
            && is_gone(store, layer)?
            && !database.has(Table::OciBlobs, &packed.digest.0)?
        {
            dead.push(key.to_owned());
        }
        Ok(())
    })?;
    let mut batch = database.batch();
    for key in &dead {
        batch.delete(Table::Packed, key);
    }
    batch.write(Write::Lazy)
}

fn is_gone(store: &Store, layer: &[u8; 32]) -> Result<bool, Error> {
    Ok(!store.core.database.has(Table::Trees, layer)?)
}

/// The keys of the steps that families remember.
fn last_of_families(store: &Store) -> Result<HashSet<Vec<u8>>, Error> {
    let mut last = HashSet::new();
    store.core.database.each(Table::Families, &mut |key, row| {
        let step: [u8; 32] = read_value(Table::Families, row, farm_model::encoding::Decoder::array)?;
        // A family's key and its step's key start with the same scope.
        if let Some((scope, _)) = key.split_last_chunk::<32>() {
            last.insert([scope, &step].concat());
        }
        Ok(())
    })?;
    Ok(last)
}

fn drop_rows(
    store: &Store,
    table: Table,
    is_dead: &dyn Fn(&[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    let database = &store.core.database;
    let mut dead = Vec::new();
    database.each(table, &mut |key, row| {
        if is_dead(row)? {
            dead.push(key.to_owned());
        }
        Ok(())
    })?;
    for keys in dead.chunks(BATCH) {
        let _steps = store.core.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let _canonical = store.core.canonical.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = database.batch();
        for key in keys {
            // Written anew meanwhile, it may live.
            if database.get(table, key)?.is_some_and(|row| is_dead(&row).unwrap_or(false)) {
                batch.delete(table, key);
            }
        }
        batch.write(Write::Lazy)?;
    }
    Ok(())
}

fn drop_explanations(store: &Store, last: &HashSet<Vec<u8>>) -> Result<(), Error> {
    let database = &store.core.database;
    let mut dead = Vec::new();
    database.each(Table::Preimages, &mut |key, _| {
        if !last.contains(key) && !database.has(Table::Steps, key)? {
            dead.push(key.to_owned());
        }
        Ok(())
    })?;
    for keys in dead.chunks(BATCH) {
        let _steps = store.core.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = database.batch();
        for key in keys {
            if !database.has(Table::Steps, key)? {
                batch.delete(Table::Preimages, key);
                batch.delete(Table::Witnesses, key);
            }
        }
        batch.write(Write::Lazy)?;
    }
    Ok(())
}
