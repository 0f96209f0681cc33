//! The handle of the store: opening, recovering and closing it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use farm_model::encoding::Decoder;

use crate::cache::RecordCache;
use crate::database::{Batch, Database, Table, Write, read_value, value};
use crate::directories::Directories;
use crate::durability::{Chore, Durability, Pace, boot_id};
use crate::layout::{Layout, make_directory};
use crate::lock::Lock;
use crate::packs::Packs;
use crate::uses::Uses;
use crate::whole::WholeRecords;
use crate::work::Touched;
use crate::{Error, recovery, trash};

const GENERATION: &[u8] = b"generation";
const CLEAN: &[u8] = b"clean";

/// How a store is opened. The defaults are what a node wants.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Identity of the kernel's boot; tests play a power cut with another one.
    pub boot: Option<String>,
    /// How long new files stay fresh at most.
    pub sync_after: Duration,
    /// How many new bytes stay fresh at most.
    pub sync_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { boot: None, sync_after: Duration::from_secs(5), sync_bytes: 512 << 20 }
    }
}

/// The content-addressed store of a node. A cheap handle: clones share everything, and the last one closes the store.
/// Calls block; call them where blocking is allowed.
#[derive(Clone)]
pub struct Store {
    pub(crate) core: Arc<Core>,
    _closer: Arc<Closer>,
}

impl Store {
    /// Opens the store at `root`, creating what is missing. Fails with [`Error::InUse`] when another process has it.
    pub fn open(root: &Path) -> Result<Self, Error> {
        Self::open_with(root, &Settings::default(), Duration::ZERO, &mut |_| {})
    }

    /// As [`Store::open`], but waits for another holder until `patience` is over; `on_wait` hears its process id once.
    pub fn open_waiting(
        root: &Path,
        patience: Duration,
        on_wait: &mut dyn FnMut(Option<u32>),
    ) -> Result<Self, Error> {
        Self::open_with(root, &Settings::default(), patience, on_wait)
    }

    /// As [`Store::open_waiting`], with settings.
    pub fn open_with(
        root: &Path,
        settings: &Settings,
        patience: Duration,
        on_wait: &mut dyn FnMut(Option<u32>),
    ) -> Result<Self, Error> {
        make_directory(root)?;
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let lock = Lock::acquire(&root, patience, on_wait)?;
        let core = Arc::new(Core::open(&root, settings, lock)?);
        recovery::recover(&core)?;
        let store = Self { core: Arc::clone(&core), _closer: Arc::new(Closer::start(core)) };
        Ok(store)
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        self.core.layout.root()
    }

    /// Where the worker keeps cache mounts; the store itself never looks there.
    pub fn cache_mounts_root(&self) -> PathBuf {
        self.core.layout.cache_mounts()
    }

    /// Makes everything that was stored before this call survive a power cut. Also done in the background.
    pub fn sync(&self) -> Result<(), Error> {
        self.core.sync()
    }

    /// Moves `path`, which is on the store's file system, to where it is deleted in the background.
    pub fn throw_away(&self, path: &Path) -> Result<(), Error> {
        self.core.layout.throw_away(path)?;
        self.core.durability.trash_filled();
        Ok(())
    }
}

/// What all handles share. The lock is let go last.
pub(crate) struct Core {
    pub(crate) database: Database,
    pub(crate) durability: Durability,
    pub(crate) directories: Directories,
    pub(crate) records: RecordCache,
    pub(crate) whole: WholeRecords,
    pub(crate) packs: Packs,
    pub(crate) layout: Layout,
    pub(crate) touched: Touched,
    pub(crate) uses: Uses,
    /// Held by the one prune that runs.
    pub(crate) pruning: Mutex<()>,
    /// Held while a step's record is written, or one that lost its layer is dropped.
    pub(crate) steps: Mutex<()>,
    /// Held while a canonical layer is looked up and put.
    pub(crate) canonical: Mutex<()>,
    /// Held while the epoch is raised.
    pub(crate) epoch: Mutex<()>,
    /// Grows whenever bytes are lost, so that what was known to be complete is looked at again.
    generation: Mutex<u64>,
    _lock: Lock,
}

impl Core {
    fn open(root: &Path, settings: &Settings, lock: Lock) -> Result<Self, Error> {
        let layout = Layout::create(root)?;
        let database = Database::open(&layout.database())?;
        let boot = match &settings.boot {
            Some(boot) => boot.clone(),
            None => boot_id()?,
        };
        let pace = Pace { after: settings.sync_after, bytes: settings.sync_bytes };
        let generation = match database.get(Table::Meta, GENERATION)? {
            Some(bytes) => read_value(Table::Meta, &bytes, Decoder::u64)?,
            None => 0,
        };
        Ok(Self {
            durability: Durability::new(root, boot, pace)?,
            directories: Directories::default(),
            records: RecordCache::default(),
            whole: WholeRecords::default(),
            canonical: Mutex::default(),
            epoch: Mutex::default(),
            generation: Mutex::new(generation),
            packs: Packs::open(layout.packs())?,
            layout,
            touched: Touched::default(),
            uses: Uses::default(),
            pruning: Mutex::default(),
            steps: Mutex::default(),
            database,
            _lock: lock,
        })
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.durability.sync(&self.database, &self.packs)
    }

    /// The number of times that bytes were lost.
    pub(crate) fn generation(&self) -> u64 {
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `batch`, which takes bytes away.
    pub(crate) fn lose(&self, mut batch: Batch<'_>, write: Write) -> Result<(), Error> {
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        let next = generation.wrapping_add(1);
        let mut row = value();
        row.u64(next);
        batch.put(Table::Meta, GENERATION, row.as_bytes());
        batch.write(write)?;
        *generation = next;
        self.whole.forget();
        Ok(())
    }

    /// Whether the last process closed the store in this boot; from now on it counts as not closed.
    pub(crate) fn take_clean(&self) -> Result<bool, Error> {
        let clean = self.database.get(Table::Meta, CLEAN)?;
        let mut batch = self.database.batch();
        batch.delete(Table::Meta, CLEAN);
        // A power cut may bring the row back; then it is of another boot.
        batch.write(Write::Lazy)?;
        Ok(clean.as_deref() == Some(self.durability.boot().as_bytes()))
    }
}

/// Owns the background thread; closes the store when the last handle goes.
struct Closer {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Closer {
    fn start(core: Arc<Core>) -> Self {
        let shared = Arc::clone(&core);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || run_chores(&shared));
        // Without the thread only `sync` and the close sync, and trash waits for the next open.
        let thread = thread
            .inspect_err(|error| tracing::warn!(%error, "cannot start the store's background thread"))
            .ok();
        Self { core, thread }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.core.durability.close();
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported by the thread itself.
            let _panicked = thread.join();
        }
        let closed = self.core.sync();
        let boot = self.core.durability.boot().as_bytes();
        let closed = closed.and_then(|()| self.core.database.put(Table::Meta, CLEAN, boot));
        if let Err(error) = closed {
            tracing::warn!(%error, "cannot close the store cleanly");
        }
    }
}

fn run_chores(core: &Core) {
    loop {
        match core.durability.next_chore(&|| core.touched.is_working()) {
            Chore::Stop => return,
            Chore::Rest => core.records.rest(),
            Chore::EmptyTrash => trash::empty(&core.layout.trash()),
            Chore::Sync => {
                if let Err(error) = core.sync() {
                    tracing::warn!(%error, "cannot sync the store");
                }
            }
        }
    }
}
