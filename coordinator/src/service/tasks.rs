//! The tasks of a coordinator. They end with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

/// A set of tasks that grows from any of them.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: Mutex<Running>,
}

#[derive(Debug)]
enum Running {
    Open(JoinSet<()>),
    Closed,
}

impl Default for Running {
    fn default() -> Self {
        Self::Open(JoinSet::new())
    }
}

impl Tasks {
    /// Starts a task, unless the set was shut down.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Running::Open(tasks) = &mut *self.running() {
            // Those that ended are forgotten, so that the set does not grow.
            while let Some(ended) = tasks.try_join_next() {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    tracing::error!(%error, "a task panicked");
                }
            }
            tasks.spawn(task);
        }
    }

    /// Ends every task, and waits until the last is gone.
    pub(super) async fn shutdown(&self) {
        let running = std::mem::replace(&mut *self.running(), Running::Closed);
        if let Running::Open(mut tasks) = running {
            tasks.shutdown().await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
