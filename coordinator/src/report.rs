//! The one door through which events leave: into the log of a build, or to whoever runs a single command.

use std::sync::Arc;
use std::time::Instant;

use farm_model::{BuildEvent, BuildId};
use tokio::sync::mpsc;

use crate::builds::Log;

/// Sends events. A receiver that is gone stops nothing: a result does not depend on being watched.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    Log(Arc<Log>),
    Channel(mpsc::Sender<BuildEvent>),
}

impl Reporter {
    /// Into a channel: for what is no build, and for tests.
    pub(crate) fn new(events: mpsc::Sender<BuildEvent>) -> Self {
        Self { target: Target::Channel(events) }
    }

    /// Into the log of a build.
    pub(crate) fn of(log: Arc<Log>) -> Self {
        Self { target: Target::Log(log) }
    }

    /// Appends an event; waits only while the disk cannot keep up.
    pub(crate) async fn send(&self, event: BuildEvent) {
        match &self.target {
            Target::Log(log) => log.append(event).await,
            Target::Channel(events) => {
                let _unwatched = events.send(event).await;
            }
        }
    }

    pub(crate) async fn warn(&self, message: impl Into<String>) {
        self.send(BuildEvent::Warned { message: message.into() }).await;
    }

    /// The build whose log it is.
    pub(crate) fn build(&self) -> Option<BuildId> {
        self.log().map(|log| log.build())
    }

    /// The log, to read again what was sent.
    pub(crate) fn log(&self) -> Option<&Arc<Log>> {
        match &self.target {
            Target::Log(log) => Some(log),
            Target::Channel(_) => None,
        }
    }
}

/// Microseconds since `start`.
pub(crate) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
