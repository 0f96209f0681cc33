//! The builds of a farm: those that run, each with its log, its client and whoever wants it; and the logs of those that ended.
//!
//! Invariants: a build is in the registry from before its first event is kept until after its last one is; its id names one
//! log for ever, to which a resumption is appended; a build that is not in the registry and has no end is interrupted.

mod audience;
mod drive;
mod history;
mod log;
mod summary;
mod wants;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farm_model::event::Requested;
use farm_model::{BuildEvent, BuildId};
use farm_proto::client::{BuildRequest, BuildState, BuildSummary};
use farm_store::Store;
use farm_transport::Connection;
use tokio::sync::watch;

pub(crate) use audience::{Audience, Grown, Seat};
pub(crate) use drive::drive;
pub(crate) use history::History;
pub(crate) use log::{Log, Numbered};
pub(crate) use wants::{GRACE, Stopped, Wants};

use crate::build::{Paths, now};
use crate::{Error, Session};

/// Every build that is known.
#[derive(Debug)]
pub(crate) struct Builds {
    history: History,
    /// Logs of how many builds are kept.
    keep: usize,
    registry: Mutex<Registry>,
    /// Held while a build is admitted: an id is not begun twice.
    admitting: tokio::sync::Mutex<()>,
    audience: Arc<Audience>,
}

#[derive(Debug)]
struct Registry {
    running: BTreeMap<BuildId, Arc<Running>>,
    gate: Gate,
    /// Requests that keep the farm as busy as builds do.
    requests: usize,
    idle_since: Instant,
    /// How many builds and such requests there are, for those who wait for the last.
    count: watch::Sender<usize>,
}

/// Whether new builds are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gate {
    Open,
    Closed,
}

/// A build that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) build: BuildId,
    pub(crate) log: Arc<Log>,
    pub(crate) wants: Wants,
    /// The name in the certificate of the client that asked for it.
    owner: String,
    client: watch::Sender<Connection>,
    paths: Paths,
}

/// What becomes of somebody who asks for a build.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is to be driven from here on.
    New(Arc<Running>),
    /// It runs already, and has its client back.
    Running(Arc<Running>),
    /// It has ended; its log is all there is.
    Over,
}

impl Builds {
    pub(crate) fn new(store: Store, keep: usize) -> Self {
        let registry = Registry {
            running: BTreeMap::new(),
            gate: Gate::Open,
            requests: 0,
            idle_since: Instant::now(),
            count: watch::Sender::new(0),
        };
        Self {
            history: History::new(store),
            keep,
            registry: Mutex::new(registry),
            admitting: tokio::sync::Mutex::default(),
            audience: Arc::new(Audience::new()),
        }
    }

    /// The logs of builds that ended.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Those who watch the farm.
    pub(crate) fn audience(&self) -> &Arc<Audience> {
        &self.audience
    }

    /// Takes a request in, and the one who makes it as one who wants the build.
    pub(crate) async fn admit(
        &self,
        request: &BuildRequest,
        client: &Connection,
        paths: Paths,
    ) -> Result<Admission, Error> {
        let build = request.build;
        let owner = client.peer().name.clone();
        let _turn = loop {
            let turn = self.admitting.lock().await;
            let Some(running) = self.running(build) else { break turn };
            if running.owner != owner {
                return Err(Error::NotYours(build));
            }
            // Joined before the connection is replaced: the build must not end in between.
            if running.wants.rejoin() {
                running.client.send_replace(client.clone());
                return Ok(Admission::Running(running));
            }
            // It is being ended, and can be taken up again after that. Nobody else has to wait for it.
            drop(turn);
            self.left(build).await;
        };
        let past = self.history.past(build).await?;
        if past.as_ref().is_some_and(|past| past.fold.client() != owner) {
            return Err(Error::NotYours(build));
        }
        let (log, first) = match past {
            None => {
                let event = BuildEvent::Requested(requested(request, &owner));
                (Log::new(self.history.clone(), Arc::clone(&self.audience), build), event)
            }
            Some(past) if past.fold.is_over() && past.fold.summary().state != BuildState::Interrupted => {
                return Ok(Admission::Over);
            }
            Some(past) => {
                let time = now();
                let offset = time.saturating_sub(past.fold.summary().started).max(0).cast_unsigned() / 1000;
                let audience = Arc::clone(&self.audience);
                (
                    Log::after(self.history.clone(), audience, build, past, offset),
                    BuildEvent::Resumed { time },
                )
            }
        };
        let running = Arc::new(Running {
            build,
            log: Arc::new(log),
            wants: Wants::new(),
            owner,
            client: watch::Sender::new(client.clone()),
            paths,
        });
        running.wants.join();
        self.registry().enter(&running)?;
        if let Err(error) = running.log.begin(first).await {
            self.registry().leave(build);
            return Err(error);
        }
        Ok(Admission::New(running))
    }

    /// Every build that runs.
    pub(crate) fn all_running(&self) -> Vec<Arc<Running>> {
        self.registry().running.values().cloned().collect()
    }

    /// A build that runs.
    pub(crate) fn running(&self, build: BuildId) -> Option<Arc<Running>> {
        self.registry().running.get(&build).cloned()
    }

    /// How many builds run.
    pub(crate) fn count(&self) -> usize {
        self.registry().running.len()
    }

    /// The builds, the newest first; all of them when `limit` is 0.
    pub(crate) async fn list(&self, limit: u32) -> Result<Vec<BuildSummary>, Error> {
        // Looked at before the history and after: a build may end or begin in between.
        let before = self.all_running();
        let mut all: BTreeMap<BuildId, BuildSummary> =
            self.history.list().await?.into_iter().map(|summary| (summary.build, summary)).collect();
        let running = before.into_iter().chain(self.all_running());
        all.extend(running.map(|running| (running.build, running.log.summary())));
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by_key(|summary| (std::cmp::Reverse(summary.started), summary.build));
        if limit > 0 {
            all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(all)
    }

    /// Forgets a build that has ended, and the oldest ones beyond those that are kept.
    pub(crate) async fn retire(&self, build: BuildId) -> Result<(), Error> {
        self.registry().leave(build);
        let mut known = self.history.list().await?;
        known.sort_by_key(|summary| std::cmp::Reverse(summary.started));
        for old in known.into_iter().skip(self.keep) {
            if self.running(old.build).is_none() {
                self.history.remove(old.build).await?;
            }
        }
        Ok(())
    }

    /// Takes no more builds from now on.
    pub(crate) fn close(&self) {
        self.registry().gate = Gate::Closed;
    }

    /// Waits until no build runs, nor anything like one.
    pub(crate) async fn idle(&self) {
        let mut count = self.registry().count.subscribe();
        // The sender lives as long as the registry.
        let _alive = count.wait_for(|count| *count == 0).await;
    }

    /// For how long nothing has run and nothing was asked; none while something is, or somebody watches.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let registry = self.registry();
        (self.audience.count() == 0 && registry.running.is_empty() && registry.requests == 0)
            .then(|| registry.idle_since.elapsed())
    }

    /// Keeps the farm from being idle as long as the guard lives.
    pub(crate) fn occupy(self: &Arc<Self>) -> Occupied {
        let mut registry = self.registry();
        registry.requests += 1;
        registry.changed();
        Occupied(Arc::clone(self))
    }

    /// Waits until a build does not run any more.
    async fn left(&self, build: BuildId) {
        let mut count = self.registry().count.subscribe();
        while self.running(build).is_some() {
            // The sender is part of the registry, which is here.
            let _alive = count.changed().await;
        }
    }

    /// Somebody has asked for something.
    pub(crate) fn touch(&self) {
        self.registry().idle_since = Instant::now();
    }

    /// Keeps what running builds have logged so far: their coordinator is about to end.
    pub(crate) async fn flush(&self) {
        for running in self.all_running() {
            if let Err(error) = running.log.flush().await {
                tracing::warn!(build = %running.build, %error, "the end of a log is not kept");
            }
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn enter(&mut self, running: &Arc<Running>) -> Result<(), Error> {
        if self.gate == Gate::Closed {
            return Err(Error::Stopping);
        }
        self.running.insert(running.build, Arc::clone(running));
        self.changed();
        Ok(())
    }

    fn leave(&mut self, build: BuildId) {
        self.running.remove(&build);
        self.changed();
    }

    fn changed(&mut self) {
        self.idle_since = Instant::now();
        self.count.send_replace(self.running.len() + self.requests);
    }
}

impl Running {
    /// The connection of its client: another one each time that it has come back.
    pub(crate) fn client(&self) -> watch::Receiver<Connection> {
        self.client.subscribe()
    }

    /// The way to its client, also after that has come back.
    pub(crate) fn session(&self) -> Session {
        Session::new(self.build, self.client.subscribe(), self.paths)
    }
}

/// Keeps the farm from being idle.
#[derive(Debug)]
pub(crate) struct Occupied(Arc<Builds>);

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut registry = self.0.registry();
        registry.requests -= 1;
        registry.changed();
    }
}

fn requested(request: &BuildRequest, client: &str) -> Requested {
    Requested {
        build: request.build,
        time: now(),
        dockerfile: request.dockerfile_name.clone(),
        context: request.context_name.clone(),
        target: request.target.clone(),
        names: request.names.iter().map(farm_model::Reference::familiar).collect(),
        client: client.to_owned(),
    }
}
