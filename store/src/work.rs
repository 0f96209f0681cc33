//! Work under way, from which nothing is pruned.
//!
//! A build looks for blobs, records and layers, and relies on them from then on, long before a step's record names them.
//! So while any [`Work`] lives, the store remembers what it was asked for and given, and a prune leaves that alone.

use std::sync::Arc;

use crate::Store;
use crate::store::Core;

/// A build or a task under way. While it lives, nothing is pruned that the store was asked for, or given, since it
/// began.
pub struct Work {
    _core: Arc<Core>,
}

impl Store {
    /// Begins a piece of work. To be held from before its first look into the store until its last record is written.
    pub fn begin(&self) -> Work {
        Work { _core: Arc::clone(&self.core) }
    }
}
