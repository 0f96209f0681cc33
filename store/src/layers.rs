//! Layer directories: made, taken over, believed, given up.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farm_model::result::LayerRef;
use farm_model::{BlobDigest, LayerDigest};
use farm_tree::{Entry, Node, Tree};

use crate::blobs::{Place, location_row};
use crate::conform::Treatment;
use crate::database::{Table, Write, value};
use crate::directories::{Belief, Summary};
use crate::durability::{Durability, Fresh, Kind};
use crate::materialise::move_directory;
use crate::reading::has_bytes;
use crate::spool::Spool;
use crate::work::Thing;
use crate::{Error, Store, handles};

/// What happens to a layer directory that is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It is damaged: kept aside, and only files with the right bytes are saved.
    Quarantined,
    /// It is not needed.
    Deleted,
}

impl Store {
    /// The directory of `layer`, when there is one and it can be trusted. The first use after a start compares it with
    /// its tree; a damaged one is moved aside and counts as absent.
    pub fn layer_directory(&self, layer: &LayerDigest) -> Result<Option<PathBuf>, Error> {
        let path = self.core.layout.layer(layer);
        self.core.touched.touch(Thing::Layer, layer.as_bytes());
        self.layer_used(layer)?;
        match self.core.directories.belief(layer) {
            None => return Ok(None),
            Some(Belief::Believed) => return Ok(Some(path)),
            Some(Belief::Unchecked(_)) => {}
        }
        let _turn = self.core.directories.enter(layer);
        let summary = match self.core.directories.belief(layer) {
            None => return Ok(None),
            Some(Belief::Believed) => return Ok(Some(path)),
            Some(Belief::Unchecked(summary)) => summary,
        };
        Ok(self.is_trustworthy(layer, &path, summary)?.then_some(path))
    }

    /// Makes the directory of `tree`, whose bytes are in the store, unless it exists. Concurrent calls make it once.
    pub fn materialise(&self, tree: &Tree) -> Result<PathBuf, Error> {
        let layer = self.put_tree(tree)?;
        if let Some(path) = self.layer_directory(&layer.digest)? {
            return Ok(path);
        }
        self.make_layer(&layer, tree, None)?;
        Ok(self.core.layout.layer(&layer.digest))
    }

    /// Makes the layer of `tree` out of the spooled files, which are moved into place; what the spool lacks comes from
    /// the store's blobs.
    #[expect(clippy::needless_pass_by_value, reason = "the spool ends here, whatever it still holds")]
    pub fn commit_spool(&self, spool: Spool, tree: &Tree) -> Result<LayerRef, Error> {
        let layer = self.put_tree(tree)?;
        if self.layer_directory(&layer.digest)?.is_none() {
            self.make_layer(&layer, tree, Some(&spool))?;
        }
        Ok(layer)
    }

    fn make_layer(&self, layer: &LayerRef, tree: &Tree, spool: Option<&Spool>) -> Result<(), Error> {
        let _turn = self.core.directories.enter(&layer.digest);
        if self.core.directories.has(&layer.digest) {
            return Ok(());
        }
        let site = self.build(tree, spool)?;
        let summary = self.conform(tree, site.path(), Treatment::Leave)?;
        site.keep_as(&layer.digest)?;
        self.register(layer, tree, summary)
    }

    /// Makes `upper`, a directory on the store's file system that is exactly `tree` but for mtimes and opaque marks,
    /// the directory of that layer. If the layer has one already, `upper` is thrown away. After an error `upper` is
    /// where it was.
    pub fn adopt(&self, upper: &Path, tree: &Tree) -> Result<LayerRef, Error> {
        let layer = self.put_tree(tree)?;
        if self.layer_directory(&layer.digest)?.is_none() {
            let _turn = self.core.directories.enter(&layer.digest);
            if !self.core.directories.has(&layer.digest) {
                let summary = self.conform(tree, upper, Treatment::Adjust)?;
                move_directory(self, upper, &self.core.layout.layer(&layer.digest))?;
                self.register(&layer, tree, summary)?;
                return Ok(layer);
            }
        }
        self.throw_away(upper)?;
        Ok(layer)
    }

    /// Deletes the directory of `layer`. Blobs that lie only there become blob files first, and those are synced. The
    /// caller makes sure that no mount uses it.
    pub fn drop_layer_directory(&self, layer: &LayerDigest) -> Result<(), Error> {
        let _turn = self.core.directories.enter(layer);
        if !self.core.directories.has(layer) {
            return Ok(());
        }
        self.give_up(layer, Fate::Deleted)
    }

    /// Moves a damaged layer directory aside.
    pub(crate) fn quarantine_layer(&self, layer: &LayerDigest) -> Result<(), Error> {
        let _turn = self.core.directories.enter(layer);
        if !self.core.directories.has(layer) {
            return Ok(());
        }
        self.give_up(layer, Fate::Quarantined)
    }

    /// Removes the row of a layer directory that is not there any more.
    pub(crate) fn forget_directory(&self, layer: &LayerDigest) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.delete(Table::Directories, layer.as_bytes());
        Durability::forget(&mut batch, &[Fresh::new(Kind::Layer, layer.as_bytes())]);
        self.core.lose(batch, Write::Lazy)?;
        self.core.directories.forget(layer);
        Ok(())
    }

    /// Records a directory that has its final name.
    fn register(&self, layer: &LayerRef, tree: &Tree, summary: Summary) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        self.each_blob(tree, &mut |path, blob| {
            let (key, row) = location_row(blob, &layer.digest, path);
            batch.put(Table::Locations, &key, &row);
            Ok(())
        })?;
        batch.put(Table::Directories, layer.digest.as_bytes(), &summary_row(summary));
        let fresh = vec![Fresh::new(Kind::Layer, layer.digest.as_bytes())];
        self.core.durability.record(batch, fresh, tree.root.record.bytes)?;
        self.core.directories.believe(layer.digest);
        Ok(())
    }

    /// Compares a directory with its tree for the first time in this process.
    fn is_trustworthy(&self, layer: &LayerDigest, path: &Path, summary: Summary) -> Result<bool, Error> {
        let Some(tree) = self.tree(layer)? else {
            self.give_up(layer, Fate::Quarantined)?;
            return Ok(false);
        };
        let found = match self.conform(&tree, path, Treatment::Leave) {
            Ok(found) => found,
            Err(Error::NotItsTree { path, reason }) => {
                tracing::warn!(%layer, %path, reason, "a damaged layer directory is moved aside");
                self.give_up(layer, Fate::Quarantined)?;
                return Ok(false);
            }
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.forget_directory(layer)?;
                return Ok(false);
            }
            Err(Error::Tree(farm_tree::Error::MissingRecord(record))) => {
                tracing::warn!(%layer, %record, "a layer directory without its records is moved aside");
                self.give_up(layer, Fate::Quarantined)?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        if found != summary {
            // Touched since it was recorded, or restored from a backup: its bytes decide.
            if !self.has_all_bytes(&tree, path)? {
                tracing::warn!(%layer, "a layer directory with damaged files is moved aside");
                self.give_up(layer, Fate::Quarantined)?;
                return Ok(false);
            }
            self.core.database.put(Table::Directories, layer.as_bytes(), &summary_row(found))?;
        }
        self.core.directories.believe(*layer);
        Ok(true)
    }

    fn has_all_bytes(&self, tree: &Tree, path: &Path) -> Result<bool, Error> {
        let Ok(root) = handles::open_root(path) else {
            return Ok(false);
        };
        let mut intact = true;
        self.each_blob(tree, &mut |path, blob| {
            intact = intact
                && handles::open_file(&root, path)
                    .is_ok_and(|mut file| has_bytes(&mut file, blob).unwrap_or(false));
            Ok(())
        })?;
        Ok(intact)
    }

    /// Saves the blobs that lie only in this directory, then removes it. The caller has the turn.
    fn give_up(&self, layer: &LayerDigest, fate: Fate) -> Result<(), Error> {
        let path = self.core.layout.layer(layer);
        let mut lost = fate == Fate::Quarantined;
        if let Some(tree) = self.tree(layer)? {
            lost |= self.save_blobs(layer, &tree, &path, fate)? == Saved::NotAll;
        }
        // What takes the directory's place, saved files or other copies, may still be fresh itself.
        self.sync()?;
        let mut batch = self.core.database.batch();
        batch.delete(Table::Directories, layer.as_bytes());
        Durability::forget(&mut batch, &[Fresh::new(Kind::Layer, layer.as_bytes())]);
        if lost {
            self.core.lose(batch, Write::Lazy)?;
        } else {
            batch.write(Write::Lazy)?;
        }
        self.core.directories.forget(layer);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(());
        }
        match fate {
            Fate::Quarantined => self.core.layout.set_aside(&path, "layer").map(drop),
            Fate::Deleted => self.throw_away(&path),
        }
    }

    fn save_blobs(&self, layer: &LayerDigest, tree: &Tree, path: &Path, fate: Fate) -> Result<Saved, Error> {
        let Ok(root) = handles::open_root(path) else {
            return Ok(Saved::NotAll);
        };
        let mut seen = HashSet::new();
        let mut saved = Saved::All;
        let visited = self.each_blob(tree, &mut |below, blob| {
            if !seen.insert(*blob) {
                return Ok(());
            }
            let elsewhere = self.places(blob)?.into_iter().any(|place| match place {
                Place::Inline(_) | Place::Pack(_) | Place::File(_) => true,
                Place::Layer { layer: other, .. } => other != *layer,
            });
            if elsewhere {
                return Ok(());
            }
            let good = handles::open_file(&root, below).is_ok_and(|mut file| match fate {
                Fate::Quarantined => has_bytes(&mut file, blob).unwrap_or(false),
                Fate::Deleted => file.metadata().is_ok_and(|metadata| metadata.len() == blob.size),
            });
            if good {
                self.rescue_file(blob, &self.path_in_layer(layer, below))?;
            } else {
                saved = Saved::NotAll;
            }
            Ok(())
        });
        match visited {
            Ok(()) => Ok(saved),
            // Without its records a directory cannot be told apart; what was saved until then stays saved.
            Err(Error::Tree(farm_tree::Error::MissingRecord(_))) => Ok(Saved::NotAll),
            Err(error) => Err(error),
        }
    }

    /// Visits every file of `tree` that has bytes, with its path.
    pub(crate) fn each_blob(&self, tree: &Tree, visit: &mut VisitBlob<'_>) -> Result<(), Error> {
        self.each_directory(tree, &mut |path, _, entries| {
            for (name, entry) in entries {
                if let Entry::Node(Node::File(file)) = entry
                    && file.blob.size > 0
                {
                    visit(&handles::join(path, name), &file.blob)?;
                }
            }
            Ok(())
        })
    }
}

/// Is shown the path of a file and its bytes' digest.
pub(crate) type VisitBlob<'a> = dyn FnMut(&[u8], &BlobDigest) -> Result<(), Error> + 'a;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Saved {
    All,
    NotAll,
}

fn summary_row(summary: Summary) -> Vec<u8> {
    let mut row = value();
    row.raw(&summary);
    row.into_bytes()
}
