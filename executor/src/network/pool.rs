//! Namespaces made ahead, as making one takes longer than starting a container, and those that come back as good as new.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::bridge::Bridge;
use super::namespace::{Connected, NetworkNamespace};
use crate::Error;

/// A supply of network namespaces. Nothing is made, and no tool is needed, before the first is asked for.
#[derive(Debug)]
pub struct NetworkPool {
    shared: Arc<Shared>,
    refill: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    ahead: usize,
    /// Locked while the bridge is made, so that it is made once.
    bridge: Mutex<Option<Arc<Bridge>>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Connected>,
    /// Came back from a container and were not looked at yet.
    returned: VecDeque<Connected>,
    /// How many are with containers.
    lent: usize,
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
        let state =
            State { ready: VecDeque::new(), returned: VecDeque::new(), lent: 0, refill: Refill::Idle };
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
        let ready = {
            let mut state = self.shared.state();
            state.lent += 1;
            state.ready.pop_front()
        };
        let taken = match ready {
            Some(connected) => connected,
            None => self.shared.make().inspect_err(|_| self.shared.state().lent -= 1)?,
        };
        self.shared.want_more();
        Ok(NetworkNamespace::new(taken, Arc::downgrade(&self.shared)))
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

    fn make(&self) -> Result<Connected, Error> {
        let bridge = {
            let mut bridge = self.bridge.lock().unwrap_or_else(PoisonError::into_inner);
            match &*bridge {
                Some(bridge) => Arc::clone(bridge),
                None => Arc::clone(bridge.insert(Arc::new(Bridge::set_up()?))),
            }
        };
        Connected::make(&bridge)
    }

    /// How many may wait for a container. Two of them keep a chain of steps going if each uses its network up.
    fn most_kept(&self) -> usize {
        if self.ahead == 0 { 0 } else { self.ahead.max(2) }
    }

    /// Whether another is worth making. Those with containers mostly come back.
    fn is_short(&self, state: &State) -> bool {
        state.ready.len() < self.ahead
            && (state.ready.is_empty() || state.ready.len() + state.lent < self.ahead)
    }

    /// Takes what a container no longer needs.
    pub(super) fn take_back(&self, connected: Connected) {
        let mut state = self.state();
        state.lent -= 1;
        if state.refill != Refill::Stopped && state.ready.len() + state.returned.len() < self.most_kept() {
            state.returned.push_back(connected);
            state.refill = Refill::Wanted;
            self.changed.notify_all();
        } else {
            // The state is let go before the namespace, whose end may be the bridge's.
            drop(state);
            drop(connected);
        }
    }

    /// Looks at what came back and makes what is missing, in the pool's own thread.
    fn keep_filled(&self) {
        loop {
            let state = self.state();
            let mut state = self
                .changed
                .wait_while(state, |state| state.refill == Refill::Idle)
                .unwrap_or_else(PoisonError::into_inner);
            if state.refill == Refill::Stopped {
                return;
            }
            let returned = state.returned.pop_front();
            if returned.is_none() && !self.is_short(&state) {
                state.refill = Refill::Idle;
                continue;
            }
            drop(state);
            let next = match returned {
                Some(used) => Ok(Some(used).filter(Connected::is_pristine)),
                None => self.make().map(Some),
            };
            match next {
                Ok(connected) => self.state().ready.extend(connected),
                // Whoever takes one next tries again and is told.
                Err(error) => {
                    tracing::warn!(%error, "cannot make a network ahead");
                    let mut state = self.state();
                    if state.refill == Refill::Wanted {
                        state.refill = Refill::Idle;
                    }
                }
            }
        }
    }
}
