//! The one door through which a build's events leave.

use std::time::Instant;

use farm_model::BuildEvent;
use tokio::sync::mpsc;

/// Sends the events of one build. A receiver that is gone stops nothing: the build's result does not depend on being watched.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    events: mpsc::Sender<BuildEvent>,
}

impl Reporter {
    pub(crate) fn new(events: mpsc::Sender<BuildEvent>) -> Self {
        Self { events }
    }

    pub(crate) async fn send(&self, event: BuildEvent) {
        // The result of a build does not depend on somebody watching it.
        let _unwatched = self.events.send(event).await;
    }

    pub(crate) async fn warn(&self, message: impl Into<String>) {
        self.send(BuildEvent::Warned { message: message.into() }).await;
    }
}

/// Microseconds since `start`.
pub(crate) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
