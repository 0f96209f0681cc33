//! What opening a store repairs.
//!
//! Under another boot id, files that were never synced are discarded, rows first. After a process that did not close
//! the store, files without a row are deleted: they were renamed but not recorded. Rows without files need no search;
//! whoever meets one treats it as missing.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use farm_model::encoding::Decoder;
use farm_model::{LayerDigest, OciDigest};

use crate::Error;
use crate::blobs::blob_of_key;
use crate::database::{Table, Write, read_value};
use crate::durability::{Durability, Fresh, Kind};
use crate::error::Context;
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
        };
        batch.delete(table, &fresh.key);
    }
    Durability::forget(&mut batch, lost);
    core.lose(batch, Write::Synced)?;
    for fresh in lost {
        if let Some(path) = path_of(core, fresh) {
            core.layout.throw_away(&path)?;
        }
    }
    Ok(())
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
    let rows = core.database.rows(Table::Blobs, &[])?;
    let known: HashSet<PathBuf> =
        rows.iter().filter_map(|(key, _)| blob_of_key(key)).map(|blob| core.layout.blob(&blob)).collect();
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
