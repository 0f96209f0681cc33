//! What the console wants done, and what it is told in return.

use farm_model::event::{Ending, FarmEvent};
use farm_model::{BuildEvent, BuildId, Recorded, StepId, WorkerId};

use crate::state::images::{Difference, Entry, ImageDetail, ImageRow, LayerWaste};

/// Something that the console wants done outside of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// End.
    Quit,
    /// Read the log of a build from its first event on, and tell it as [`Answer::Log`] until [`Effect::Unfollow`].
    Follow(BuildId),
    /// Its log is not shown any more.
    Unfollow(BuildId),
    /// Answer a question.
    Ask(Query),
    /// Do something to the farm; it was confirmed.
    Act(Order),
    /// Leave the full screen and write the log of a build as it comes to the normal one, from its start, so that it can be
    /// selected and scrolled there; come back when a key is pressed.
    Stream {
        /// The build.
        build: BuildId,
        /// One of its steps; all of them when none.
        step: Option<StepId>,
    },
    /// Put a text into the terminal's clipboard.
    Copy(String),
    /// Change how a recording is played.
    Play(Playback),
    /// Write a picture of the frame to a file of its own.
    Picture,
    /// Remember the settings, which are lines of the console's configuration file.
    Remember(String),
}

/// A question that is answered once.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Query {
    /// Every image that has a name.
    Images,
    /// One image.
    Image {
        /// Its name.
        image: String,
    },
    /// What each layer of an image wastes.
    Waste {
        /// Its name.
        image: String,
    },
    /// A directory of an image.
    Entries {
        /// Its name.
        image: String,
        /// One of its layers, from 0; the merged file system when none.
        layer: Option<u32>,
        /// The directory, from the root, without a leading slash.
        path: String,
    },
    /// How two images differ.
    Compare {
        /// The older one.
        before: String,
        /// The newer one.
        after: String,
    },
}

/// Something that is done to a farm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Cancel a build for everybody.
    Cancel(BuildId),
    /// Take a running step from its worker and have it done elsewhere.
    Move {
        /// The build.
        build: BuildId,
        /// The step.
        step: StepId,
    },
    /// Give a worker no more work.
    Drain(WorkerId),
    /// Give it work again.
    Restore(WorkerId),
    /// Keep an image whatever is pruned.
    Pin(String),
    /// Keep it no longer than others.
    Unpin(String),
    /// Prune the store.
    Prune {
        /// Also what recent builds would find in the cache.
        all: bool,
    },
}

/// How a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Playback {
    /// Stop or go on.
    Pause,
    /// As fast as it happened, times this.
    Speed(f64),
    /// Go to a point, in parts of the whole from 0 to 1.
    Seek(f64),
    /// Go so many seconds forth, or back.
    Skip(i64),
    /// Go to the next thing of a kind; where there is none, to the end.
    Next(Landmark),
}

/// What a recording can be played up to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Landmark {
    /// Anything that happens, but for samples of what machines use.
    Event,
    /// A step or a build that fails.
    Failure,
}

impl Landmark {
    /// Whether an event is one.
    pub fn is(self, event: &FarmEvent) -> bool {
        let has_failed = |recorded: &Recorded| {
            matches!(recorded.event, BuildEvent::Failed { .. } | BuildEvent::Ended(Ending::Failed(_)))
        };
        match self {
            Self::Event => !matches!(event, FarmEvent::Load { .. } | FarmEvent::Store(_)),
            Self::Failure => matches!(event, FarmEvent::Build { recorded, .. } if has_failed(recorded)),
        }
    }
}

/// Where in a recording its player is. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Its first event.
    pub first: i64,
    /// Its last event.
    pub last: i64,
    /// The point that has been reached.
    pub at: i64,
    /// How much faster than it happened it is played.
    pub speed: f64,
    /// Whether it stands still.
    pub is_paused: bool,
}

/// What the console is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The next event of a build that is followed, log lines included.
    Log {
        /// The build.
        build: BuildId,
        /// The event.
        recorded: Recorded,
    },
    /// To [`Query::Images`].
    Images(Vec<ImageRow>),
    /// To [`Query::Image`].
    Image(Box<ImageDetail>),
    /// To [`Query::Waste`]: its layers, the lowest first.
    Waste {
        /// Its name.
        image: String,
        /// Its layers.
        layers: Vec<LayerWaste>,
    },
    /// To [`Query::Entries`].
    Entries {
        /// What was asked.
        query: Query,
        /// What the directory holds.
        entries: Vec<Entry>,
        /// How many more there are.
        more: u64,
    },
    /// To [`Query::Compare`].
    Compare {
        /// What was asked.
        query: Query,
        /// What differs, the largest change first.
        differences: Vec<Difference>,
        /// How many more there are.
        more: u64,
    },
    /// An order was carried out.
    Done(Order),
    /// Something cannot be done or answered.
    Refused {
        /// What, in words.
        what: String,
        /// Why.
        message: String,
        /// The way out, when there is one.
        hint: Option<String>,
    },
}
