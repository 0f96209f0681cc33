//! Removes what a plan chose, from the top down, beside running work.
//!
//! Everything is removed under the lock that notes looks, a small batch at a time. A layer that is looked at for the
//! first time meanwhile is *late*: what it needs is marked before the next batch.

use std::collections::HashSet;

use farm_model::{BlobDigest, DirectoryDigest, LayerDigest};
use farm_tree::Tree;

use crate::blobs::{Own, Place, blob_of_key, read_row};
use crate::database::{Table, Write};
use crate::durability::{Durability, Fresh, Kind};
use crate::prune::marks::{Marks, Need};
use crate::prune::plan::{Plan, Victim};
use crate::prune::survey::{LayerUse, OciUse, Standing, Survey};
use crate::prune::{packs, steps};
use crate::usage::{Class, InUse, Usage};
use crate::uses::{layer_key, oci_key};
use crate::work::{State, Thing, part};
use crate::{Error, Store};

/// How many rows go under one lock.
const BATCH: usize = 128;

pub(super) struct Sweep<'a> {
    store: &'a Store,
    survey: &'a Survey,
    victims: Vec<Victim>,
    in_use: &'a dyn Fn(InUse<'_>) -> bool,
    marks: Marks,
    /// Layers that go.
    doomed: HashSet<LayerDigest>,
    freed: Usage,
}

/// A directory whose blobs were looked at: those that nobody needed are left in it.
struct Emptied<'a> {
    layer: &'a LayerUse,
    left: Vec<u64>,
    /// Bytes that go with the directory.
    bytes: u64,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(
        store: &'a Store,
        survey: &'a Survey,
        plan: &Plan,
        in_use: &'a dyn Fn(InUse<'_>) -> bool,
    ) -> Self {
        let victims: Vec<Victim> = plan.victims.iter().copied().collect();
        let doomed = victims.iter().filter_map(|victim| match victim {
            Victim::Layer(number) => Some(survey.layers[*number].digest),
            Victim::Strays | Victim::Oci(_) | Victim::Mount(_) => None,
        });
        let doomed = doomed.collect();
        Self { store, survey, victims, in_use, marks: Marks::default(), doomed, freed: Usage::default() }
    }

    pub(super) fn run(mut self) -> Result<Usage, Error> {
        // First what gives space back at once and takes none: on a full disk the rest may need it.
        for victim in self.victims.clone() {
            match victim {
                Victim::Oci(number) => self.drop_oci(&self.survey.oci[number])?,
                Victim::Mount(number) => {
                    let mount = &self.survey.mounts[number];
                    if !(self.in_use)(InUse::Removal(&mount.path)) {
                        self.store.throw_away(&mount.path)?;
                        self.freed.add_many(Class::CacheMounts, 1, mount.bytes);
                    }
                }
                Victim::Strays | Victim::Layer(_) => {}
            }
        }
        let cache = self.victims.iter().any(|victim| matches!(victim, Victim::Strays | Victim::Layer(_)));
        if cache {
            // Before the first thing goes: from here on whatever was found complete is looked at again, and each look is
            // noted. A prune that is killed half-way leaves nothing that is believed without a look.
            self.store.core.lose(self.store.core.database.batch(), Write::Lazy)?;
            self.mark_what_stays()?;
            self.drop_layers()?;
            self.sweep_records()?;
            self.sweep_blobs()?;
            self.sweep_locations()?;
            steps::sweep(self.store)?;
            match packs::compact(self.store) {
                Ok(()) => {}
                // Both forms of a pack lie side by side for a while; the next prune finds more room.
                Err(error @ (Error::NoSpace { .. } | Error::LowSpace { .. })) => {
                    tracing::warn!(%error, "packs are not compacted: there is no room for it");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.freed)
    }

    fn mark_what_stays(&mut self) -> Result<(), Error> {
        for layer in &self.survey.layers {
            let Some(tree) = &layer.tree else { continue };
            let stays = !self.doomed.contains(&layer.digest);
            if stays && layer.standing != Standing::Evidence {
                self.marks.mark(self.store, tree, Need::Everything, &mut |_| {})?;
            } else if layer.explains {
                self.marks.mark(self.store, tree, Need::Records, &mut |_| {})?;
            }
        }
        Ok(())
    }

    /// Takes the directories and the trees of doomed layers.
    fn drop_layers(&mut self) -> Result<(), Error> {
        let mut emptied = Vec::new();
        for victim in self.victims.clone() {
            if let Victim::Layer(number) = victim {
                let layer = &self.survey.layers[number];
                if (self.in_use)(InUse::Layer(&layer.digest)) {
                    self.spare(layer)?;
                } else {
                    emptied.push(self.rescue(layer)?);
                }
            }
        }
        // Once for all directories: what takes their place must not be fresh itself.
        self.store.sync()?;
        emptied.into_iter().try_for_each(|emptied| self.drop_layer(&emptied))
    }

    /// Gives blobs that something needs, and that lie only in doomed directories, a file of their own.
    fn rescue(&self, layer: &'a LayerUse) -> Result<Emptied<'a>, Error> {
        let mut emptied = Emptied { layer, left: Vec::new(), bytes: 0 };
        let Some(tree) = &layer.tree else { return Ok(emptied) };
        if !self.store.core.directories.has(&layer.digest) {
            return Ok(emptied);
        }
        emptied.bytes = tree.root.record.bytes;
        let _turn = self.store.core.directories.enter(&layer.digest);
        let visited = self.store.each_blob(tree, &mut |path, blob| {
            let touched = self.store.core.touched.lock().is_touched(Thing::Blob, &blob.hash);
            if !touched && !self.marks.has_blob(&blob.hash) {
                emptied.left.push(part(&blob.hash));
            } else if !self.is_elsewhere(blob)? {
                let path = self.store.path_in_layer(&layer.digest, path);
                if path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == blob.size) {
                    self.store.rescue_file(blob, &path)?;
                    emptied.bytes = emptied.bytes.saturating_sub(blob.size);
                }
            }
            Ok(())
        });
        match visited {
            Ok(()) | Err(Error::Tree(farm_tree::Error::MissingRecord(_))) => Ok(emptied),
            Err(error) => Err(error),
        }
    }

    fn is_elsewhere(&self, blob: &BlobDigest) -> Result<bool, Error> {
        let places = self.store.places(blob)?;
        Ok(places.iter().any(|place| match place {
            Place::Inline(_) | Place::Pack(_) | Place::File(_) => true,
            Place::Layer { layer, .. } => !self.doomed.contains(layer),
        }))
    }

    fn drop_layer(&mut self, emptied: &Emptied<'_>) -> Result<(), Error> {
        let layer = emptied.layer;
        let core = &self.store.core;
        let digest = layer.digest.as_bytes();
        let _turn = core.directories.enter(&layer.digest);
        self.mark_late()?;
        {
            let state = core.touched.lock();
            let is_needed =
                |left: &u64| state.is_touched_part(Thing::Blob, *left) || self.marks.has_blob_part(*left);
            if state.has_late()
                || state.is_touched(Thing::Layer, digest)
                || emptied.left.iter().any(is_needed)
            {
                drop(state);
                return self.spare(layer);
            }
            let mut batch = core.database.batch();
            batch.delete(Table::Directories, digest);
            batch.delete(Table::Complete, digest);
            batch.delete(Table::Uses, &layer_key(&layer.digest));
            if !layer.explains {
                batch.delete(Table::Trees, digest);
            }
            Durability::forget(&mut batch, &[Fresh::new(Kind::Layer, digest)]);
            batch.write(Write::Lazy)?;
            core.directories.forget(&layer.digest);
        }
        self.store.throw_away(&core.layout.layer(&layer.digest))?;
        self.freed.add_many(Class::Cache, 1, emptied.bytes);
        Ok(())
    }

    /// Keeps a layer that was to go: its directory stays, so the next prune must be able to tell what lies in it.
    fn spare(&mut self, layer: &LayerUse) -> Result<(), Error> {
        match &layer.tree {
            Some(tree) => self.marks.mark(self.store, tree, Need::Records, &mut |_| {}),
            None => Ok(()),
        }
    }

    fn sweep_records(&mut self) -> Result<(), Error> {
        let mut dead = Vec::new();
        self.store.core.database.each(Table::Records, &mut |key, _| {
            if let Ok(digest) = <[u8; 32]>::try_from(key)
                && !self.marks.has_record(&digest)
            {
                dead.push(digest);
            }
            Ok(())
        })?;
        for digests in dead.chunks(BATCH) {
            let store = self.store;
            self.mark_late()?;
            let state = store.core.touched.lock();
            let mut batch = store.core.database.batch();
            for digest in digests {
                if !self.marks.has_record(digest) && !state.is_touched(Thing::Record, digest) {
                    batch.delete(Table::Records, digest);
                    store.core.records.remove(&DirectoryDigest(*digest));
                }
            }
            if !state.has_late() {
                batch.write(Write::Lazy)?;
            }
        }
        Ok(())
    }

    fn sweep_blobs(&mut self) -> Result<(), Error> {
        let mut dead = Vec::new();
        self.store.core.database.each(Table::Blobs, &mut |key, _| {
            if let Some(blob) = blob_of_key(key)
                && !self.marks.has_blob(&blob.hash)
            {
                dead.push(blob);
            }
            Ok(())
        })?;
        for blobs in dead.chunks(BATCH) {
            self.mark_late()?;
            let (mut count, mut bytes) = (0, 0);
            let state = self.store.core.touched.lock();
            if state.has_late() {
                // One came between; the next prune takes these.
                continue;
            }
            let mut doomed = Vec::new();
            for blob in blobs {
                if self.marks.has_blob(&blob.hash) || state.is_touched(Thing::Blob, &blob.hash) {
                    continue;
                }
                doomed.push(*blob);
                count += 1;
                bytes += blob.size;
            }
            self.drop_blobs(&doomed, &state)?;
            drop(state);
            if count > 0 {
                self.freed.add_many(Class::Cache, count, bytes);
            }
        }
        Ok(())
    }

    /// Removes the store's own copies of blobs, with one write. The lock is held so that nobody finds one on the way out.
    fn drop_blobs(&self, blobs: &[BlobDigest], _locked: &State) -> Result<(), Error> {
        let core = &self.store.core;
        let mut batch = core.database.batch();
        let mut files = Vec::new();
        for blob in blobs {
            let key = crate::blobs::blob_key(blob);
            let Some(row) = core.database.get(Table::Blobs, &key)? else { continue };
            if read_row(&row)? == Own::File {
                files.push(core.layout.blob(blob));
            }
            batch.delete(Table::Blobs, &key);
            Durability::forget(&mut batch, &[Fresh::new(Kind::Blob, &key)]);
        }
        batch.write(Write::Lazy)?;
        files.iter().try_for_each(|file| self.store.throw_away(file))
    }

    /// Marks what layers need that were looked at since the last time.
    fn mark_late(&mut self) -> Result<(), Error> {
        loop {
            let late = self.store.core.touched.lock().take_late();
            if late.is_empty() {
                return Ok(());
            }
            let trees: Vec<Tree> = late
                .iter()
                .filter_map(|layer| self.store.untouched_tree(layer).transpose())
                .collect::<Result<_, _>>()?;
            for tree in trees {
                self.marks.mark(self.store, &tree, Need::Everything, &mut |_| {})?;
            }
        }
    }

    /// Removes the rows that say what lies in directories that are gone.
    fn sweep_locations(&self) -> Result<(), Error> {
        let core = &self.store.core;
        let mut dead = Vec::new();
        core.database.each(Table::Locations, &mut |key, _| {
            if let Some((_, layer)) = key.split_last_chunk::<32>()
                && !core.directories.has(&LayerDigest(*layer))
            {
                dead.push((key.to_owned(), *layer));
            }
            Ok(())
        })?;
        for rows in dead.chunks(BATCH) {
            let state = core.touched.lock();
            let mut batch = core.database.batch();
            for (key, layer) in rows {
                if !state.is_touched(Thing::Layer, layer) && !core.database.has(Table::Directories, layer)? {
                    batch.delete(Table::Locations, key);
                }
            }
            batch.write(Write::Lazy)?;
        }
        Ok(())
    }

    fn drop_oci(&mut self, blob: &OciUse) -> Result<(), Error> {
        let core = &self.store.core;
        {
            let state = core.touched.lock();
            if state.is_touched(Thing::Oci, &blob.digest.0) {
                return Ok(());
            }
            let mut batch = core.database.batch();
            batch.delete(Table::OciBlobs, &blob.digest.0);
            batch.delete(Table::Uses, &oci_key(&blob.digest));
            blob.rows.iter().for_each(|row| batch.delete(Table::Packed, row));
            Durability::forget(&mut batch, &[Fresh::new(Kind::Oci, &blob.digest.0)]);
            batch.write(Write::Lazy)?;
            self.store.throw_away(&core.layout.oci(&blob.digest))?;
        }
        self.freed.add_many(blob.class, 1, blob.size);
        Ok(())
    }
}
