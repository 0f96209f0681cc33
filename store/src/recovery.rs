//! What opening a store repairs.
//!
//! Under another boot id, files that were never synced are discarded, rows first. After a process that did not close
//! the store, files without a row are deleted: they were renamed but not recorded. Rows without files need no search;
//! whoever meets one treats it as missing.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use farm_model::encoding::Decoder;
use farm_model::{LayerDigest, OciDigest};

use crate::Error;
use crate::blobs::{Own, blob_of_key, read_row};
use crate::database::{Batch, Table, Write, read_value};
use crate::durability::{Durability, Fresh, Kind};
use crate::error::Context;
use crate::packs::start_of_range;
use crate::store::Core;

/// Repairs the store; called once, before anyone uses it.
pub(crate) fn recover(core: &Core) -> Result<(), Error> {
    core.layout.sweep_temporary()?;
    let lost = core.durability.restore(&core.database)?;
    if !lost.is_empty() {
        discard(core, &lost)?;
    }
    load_directories(core)?;
    sweep_layers(core)?;
    if !core.take_clean()? {
        sweep_blobs(core)?;
        sweep_oci(core)?;
        // The log may have lost what the rows after it relied on, so what was complete is looked at again.
        core.lose(core.database.batch(), Write::Lazy)?;
    }
    core.durability.trash_filled();
    Ok(())
}

fn discard(core: &Core, lost: &[Fresh]) -> Result<(), Error> {
    tracing::info!(files = lost.len(), "discarding what was not on disk when the machine went down");
    let mut batch = core.database.batch();
    for fresh in lost {
        let table = match fresh.kind {
            Kind::Blob => Table::Blobs,
            Kind::Layer => Table::Directories,
            Kind::Oci => Table::OciBlobs,
            Kind::Pack => continue,
        };
        batch.delete(table, &fresh.key);
    }
    discard_from_packs(core, lost, &mut batch)?;
    Durability::forget(&mut batch, lost);
    core.lose(batch, Write::Synced)?;
    for fresh in lost {
        if let Some(path) = path_of(core, fresh) {
            core.layout.throw_away(&path)?;
        }
    }
    Ok(())
}

/// Deletes the rows of blobs that lie behind the start of a range that never was synced.
fn discard_from_packs(core: &Core, lost: &[Fresh], batch: &mut Batch<'_>) -> Result<(), Error> {
    let mut starts = HashMap::new();
    for start in lost.iter().filter(|fresh| fresh.kind == Kind::Pack).filter_map(|f| start_of_range(&f.key)) {
        let first: &mut u64 = starts.entry(start.pack).or_insert(start.offset);
        *first = start.offset.min(*first);
    }
    if starts.is_empty() {
        return Ok(());
    }
    core.database.each(Table::Blobs, &mut |key, row| {
        if let Own::Pack(slot) = read_row(row)?
            && starts.get(&slot.pack).is_some_and(|start| slot.offset >= *start)
        {
            batch.delete(Table::Blobs, key);
        }
        Ok(())
    })
}

fn path_of(core: &Core, fresh: &Fresh) -> Option<PathBuf> {
    match fresh.kind {
        Kind::Blob => blob_of_key(&fresh.key).map(|blob| core.layout.blob(&blob)),
        Kind::Layer => {
            let digest = fresh.key.as_slice().try_into().ok()?;
            Some(core.layout.layer(&LayerDigest(digest)))
        }
        Kind::Oci => {
            let digest = fresh.key.as_slice().try_into().ok()?;
            Some(core.layout.oci(&OciDigest(digest)))
        }
        Kind::Pack => None,
    }
}

fn load_directories(core: &Core) -> Result<(), Error> {
    for (key, bytes) in core.database.rows(Table::Directories, &[])? {
        if let Ok(digest) = <[u8; 32]>::try_from(&*key) {
            let summary = read_value(Table::Directories, &bytes, Decoder::array)?;
            core.directories.load(LayerDigest(digest), summary);
        }
    }
    Ok(())
}

fn sweep_layers(core: &Core) -> Result<(), Error> {
    sweep(core, &core.layout.layers(), &mut |name| {
        name.parse().is_ok_and(|layer| core.directories.has(&layer))
    })
}

fn sweep_blobs(core: &Core) -> Result<(), Error> {
    let mut known = HashSet::new();
    core.database.each(Table::Blobs, &mut |key, row| {
        if matches!(read_row(row)?, Own::File) {
            known.extend(blob_of_key(key).map(|blob| core.layout.blob(&blob)));
        }
        Ok(())
    })?;
    for first in 0..=u8::MAX {
        let directory = core.layout.root().join(format!("blobs/{first:02x}"));
        sweep(core, &directory, &mut |name| known.contains(&directory.join(name)))?;
    }
    Ok(())
}

fn sweep_oci(core: &Core) -> Result<(), Error> {
    let rows = core.database.rows(Table::OciBlobs, &[])?;
    let known: HashSet<&[u8]> = rows.iter().map(|(key, _)| &**key).collect();
    sweep(core, &core.layout.root().join("oci"), &mut |name| {
        name.parse::<LayerDigest>().is_ok_and(|digest| known.contains(digest.as_bytes().as_slice()))
    })
}

/// Throws away what is in `directory` under a name that `is_known` does not know.
fn sweep(core: &Core, directory: &Path, is_known: &mut dyn FnMut(&str) -> bool) -> Result<(), Error> {
    for entry in fs::read_dir(directory).while_doing("read", directory)? {
        let name = entry.while_doing("read", directory)?.file_name();
        let known = std::str::from_utf8(OsStr::as_bytes(&name)).is_ok_and(&mut *is_known);
        if !known {
            core.layout.throw_away(&directory.join(name))?;
        }
    }
    Ok(())
}
