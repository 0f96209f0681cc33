//! Namespaces made ahead, as making one takes longer than starting a container.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::bridge::Bridge;
use super::namespace::NetworkNamespace;
use crate::Error;

/// A supply of network namespaces. Nothing is made, and no tool is needed, before the first is asked for.
#[derive(Debug)]
pub struct NetworkPool {
    shared: Arc<Shared>,
    refill: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ahead: usize,
    /// Locked while the bridge is made, so that it is made once.
    bridge: Mutex<Option<Arc<Bridge>>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<NetworkNamespace>,
    refill: Refill,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refill {
    /// Nobody has asked yet, or the last attempt failed.
    Idle,
    Wanted,
    Stopped,
}

impl NetworkPool {
    /// A pool that keeps `ahead` namespaces ready once it is in use.
    pub fn new(ahead: usize) -> Self {
        let state = State { ready: VecDeque::new(), refill: Refill::Idle };
        let shared = Arc::new(Shared {
            ahead,
            bridge: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        let refill =
            thread::Builder::new().name("network-pool".to_owned()).spawn(move || worker.keep_filled());
        if let Err(error) = &refill {
            tracing::warn!(%error, "networks are made when they are needed, not ahead");
        }
        Self { shared, refill: refill.ok() }
    }

    /// Starts to make namespaces in the background, before the first is needed.
    pub fn prepare(&self) {
        self.shared.want_more();
    }

    /// A namespace for one container: a ready one, or else a new one.
    pub fn take(&self) -> Result<NetworkNamespace, Error> {
        let ready = self.shared.state().ready.pop_front();
        let taken = match ready {
            Some(namespace) => namespace,
            None => self.shared.make()?,
        };
        self.shared.want_more();
        Ok(taken)
    }
}

impl Drop for NetworkPool {
    fn drop(&mut self) {
        self.shared.state().refill = Refill::Stopped;
        self.shared.changed.notify_all();
        if let Some(refill) = self.refill.take() {
            let _panicked = refill.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want_more(&self) {
        let mut state = self.state();
        if state.refill == Refill::Idle {
            state.refill = Refill::Wanted;
            self.changed.notify_all();
        }
    }

    fn make(&self) -> Result<NetworkNamespace, Error> {
        let bridge = {
            let mut bridge = self.bridge.lock().unwrap_or_else(PoisonError::into_inner);
            match &*bridge {
                Some(bridge) => Arc::clone(bridge),
                None => Arc::clone(bridge.insert(Arc::new(Bridge::set_up()?))),
            }
        };
        NetworkNamespace::connected_to(&bridge)
    }

    fn keep_filled(&self) {
        loop {
            let state = self.state();
            let state = self
                .changed
                .wait_while(state, |state| state.refill == Refill::Idle)
                .unwrap_or_else(PoisonError::into_inner);
            if state.refill == Refill::Stopped {
                return;
            }
            let full = state.ready.len() >= self.ahead;
            drop(state);
            let made = if full { None } else { Some(self.make()) };
            let mut state = self.state();
            match made {
                Some(Ok(namespace)) => {
                    state.ready.push_back(namespace);
                    continue;
                }
                // Whoever takes one next tries again and is told.
                Some(Err(error)) => tracing::warn!(%error, "cannot make a network ahead"),
                None => {}
            }
            if state.refill == Refill::Wanted && (state.ready.len() >= self.ahead || !full) {
                state.refill = Refill::Idle;
            }
        }
    }
}
