//! Containers made ahead: a thread keeps a few that only wait to be told what they are for, and takes away what is left of old ones.
//!
//! Most of a start is the same for every container, and some of it is waiting: a process that enters a v1 control group waits for the kernel to
//! come to a point of rest, up to some ten milliseconds. Made ahead, that is in nobody's way.
//!
//! The thread is the parent of all containers in the eyes of the kernel: they die with it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::zygote::{Cell, Zygote};
use crate::Error;
use crate::cgroup::{Group, Parent};
use crate::spec::Settings;

/// How many wait once one was asked for.
const AHEAD: usize = 2;

/// The thread and what it has made. Dropping it ends all that waits.
#[derive(Debug)]
pub(super) struct Supply {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Cell>,
    /// How many calls wait for one.
    waiting: usize,
    /// For each of them that cannot be served, why.
    failures: Vec<Error>,
    /// Of containers that have ended.
    old: Vec<Group>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Phase {
    /// Nothing is made ahead: nobody has asked yet, or the last attempt failed.
    #[default]
    Idle,
    InUse,
    Stopped,
}

impl Supply {
    /// Starts the thread. It makes groups below `parent`.
    pub(super) fn start(parent: Arc<Parent>, settings: Settings) -> Result<Self, Error> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("containers".to_owned())
            .spawn(move || worker.serve(&parent, &settings))
            .map_err(|e| Error::environment("start a thread", e))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A cell for one container.
    pub(super) fn take(&self) -> Result<Cell, Error> {
        let mut state = self.shared.state();
        state.phase = Phase::InUse;
        state.waiting += 1;
        self.shared.changed.notify_all();
        let taken = loop {
            if let Some(cell) = state.ready.pop_front() {
                break Ok(cell);
            }
            if let Some(error) = state.failures.pop() {
                break Err(error);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.waiting -= 1;
        // A call that failed once and was served in the end leaves a failure that is nobody's.
        let waiting = state.waiting;
        state.failures.truncate(waiting);
        self.shared.changed.notify_all();
        taken
    }

    /// Has the groups of a container that has ended removed.
    pub(super) fn remove(&self, group: Group) {
        self.shared.state().old.push(group);
        self.shared.changed.notify_all();
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.shared.state().phase = Phase::Stopped;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// What the thread is to do next.
enum Task {
    Make,
    Remove(Vec<Group>),
    Stop,
}

impl State {
    fn next(&mut self) -> Option<Task> {
        let unserved = self.waiting.saturating_sub(self.failures.len());
        match self.phase {
            Phase::Stopped => Some(Task::Stop),
            Phase::InUse if self.ready.len() < unserved => Some(Task::Make),
            _ if !self.old.is_empty() => Some(Task::Remove(std::mem::take(&mut self.old))),
            Phase::InUse if self.ready.len() < unserved + AHEAD => Some(Task::Make),
            Phase::InUse | Phase::Idle => None,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, parent: &Parent, settings: &Settings) {
        let mut factory = Factory { parent, settings, zygote: None, made: 0 };
        // Ready when the first container is asked for; a failure is met again then, by somebody who can be told.
        if let Err(error) = factory.zygote() {
            tracing::warn!(%error, "containers cannot be made ahead");
        }
        loop {
            match self.next() {
                Task::Make => {
                    let made = factory.make();
                    self.store(made);
                }
                Task::Remove(old) => drop(old),
                Task::Stop => break,
            }
        }
        let mut state = self.state();
        let (ready, old) = (std::mem::take(&mut state.ready), std::mem::take(&mut state.old));
        drop(state);
        drop((ready, old));
    }

    fn next(&self) -> Task {
        let mut state = self.state();
        loop {
            if let Some(task) = state.next() {
                return task;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn store(&self, made: Result<Cell, Error>) {
        let mut state = self.state();
        match made {
            Ok(cell) => state.ready.push_back(cell),
            Err(error) if state.waiting > state.failures.len() => state.failures.push(error),
            Err(error) => {
                tracing::warn!(%error, "cannot make a container ahead");
                if state.phase == Phase::InUse {
                    state.phase = Phase::Idle;
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

struct Factory<'a> {
    parent: &'a Parent,
    settings: &'a Settings,
    zygote: Option<Zygote>,
    made: u64,
}

impl Factory<'_> {
    fn zygote(&mut self) -> Result<&Zygote, Error> {
        let zygote = match self.zygote.take() {
            Some(zygote) => zygote,
            None => Zygote::start(self.settings)?,
        };
        Ok(self.zygote.insert(zygote))
    }

    fn make(&mut self) -> Result<Cell, Error> {
        self.made += 1;
        let id = format!("container-{}", self.made);
        let first = self.parent.container(&id).and_then(|group| self.zygote()?.fork(group));
        if first.is_ok() {
            return first;
        }
        // Perhaps it was killed, or says no more than that: another one tells.
        self.zygote = None;
        self.made += 1;
        let id = format!("container-{}", self.made);
        self.parent.container(&id).and_then(|group| self.zygote()?.fork(group))
    }
}
