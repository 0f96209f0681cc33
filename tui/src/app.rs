//! The console behind `farm top`: what is on the screen, and what keys and clicks do to it. It is told events, answers and
//! input, says what it wants done as [`Effect`]s, and draws itself from borrowed state; whoever owns the terminal and the
//! connection performs the effects.
//!
//! Time is a parameter everywhere: the clock's, or the point of a recording that is played. The same events, inputs and times
//! give the same frames.

pub mod action;
mod dispatch;
pub mod effect;
pub mod estimate;
pub mod filter;
pub mod follow;
mod frame;
mod input;
pub mod keymap;
pub mod list;
mod orders;
mod outside;
mod overlay;
mod palette;
pub mod place;
pub mod prompt;
pub mod screen;
mod settings;
pub mod summary;
pub mod world;

use std::collections::BTreeMap;

use farm_model::event::{FarmEvent, FarmRecorded};

pub use action::Action;
pub use effect::{Answer, Effect, Landmark, Order, Playback, Position, Query};
pub use filter::Filter;
pub use keymap::{Key, Keymap, KeymapError};
pub use place::{Place, View};
pub use screen::{Access, Context, Hits, Screen, Subject, Target, Wish};

use crate::view::actions::ActionsScreen;
use crate::view::cache::CacheScreen;
use crate::view::glyphs::GlyphSet;
use crate::view::images::Images;
use crate::view::lanes::Lanes;
use crate::view::logs::Logs;
use crate::view::overview::Overview;
use crate::view::stages::StagesScreen;
use crate::view::theme::{Depth, ThemeName};
use follow::Extent;
use overlay::Overlay;
use summary::Summary;
use world::World;

/// What is derived from the farm is derived anew after so long, in nanoseconds.
const STALE: i64 = 200_000_000;
/// What time alone or the samples of machines change is derived anew after so long.
const MOVED: i64 = 1_000_000_000;
/// A word to the person stays for so long.
const NOTICE: i64 = 6_000_000_000;
/// Failures whose last lines are read.
const TAILS: usize = 5;

/// What a console starts with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its theme; one that was remembered comes first.
    pub theme: Option<ThemeName>,
    /// How many colours the terminal has.
    pub depth: Depth,
    /// Its signs; those that were remembered come first.
    pub glyphs: Option<GlyphSet>,
    /// What the person may do.
    pub access: Access,
    /// Which key does what.
    pub keymap: Keymap,
    /// What [`Effect::Remember`] gave the last time.
    pub settings: Option<String>,
    /// What it is attached to, in words.
    pub label: String,
    /// Whether a recording is played.
    pub replay: bool,
}

/// How soon a new frame is wanted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Need {
    /// Not until something happens.
    None,
    /// With the next second.
    Soon,
    /// Now.
    Now,
}

/// A word to the person.
#[derive(Clone, Debug)]
struct Notice {
    text: String,
    is_bad: bool,
    until: i64,
}

/// The console.
#[derive(Debug)]
pub struct App {
    world: World,
    screens: Vec<Box<dyn Screen>>,
    place: Place,
    trail: Vec<Place>,
    overlay: Overlay,
    filters: BTreeMap<View, Filter>,
    /// Filters that were typed, the newest last.
    history: Vec<String>,
    keymap: Keymap,
    label: String,
    replay: bool,
    /// Where in a recording the farm is.
    position: Option<Position>,
    summary: Summary,
    hits: Hits,
    clicked: Option<(i64, Target)>,
    notice: Option<Notice>,
    effects: Vec<Effect>,
    need: Need,
    /// How soon what happened since things were derived is to be seen, and when that was.
    changed: Need,
    prepared: i64,
    drawn: i64,
    remembered: String,
}

impl App {
    /// A console that knows nothing yet.
    pub fn new(options: Options) -> Self {
        let Options { theme, depth, glyphs, access, keymap, settings, label, replay } = options;
        let world = World::new(theme.unwrap_or_default(), depth, glyphs.unwrap_or_default(), access);
        let mut app = Self {
            world,
            screens: vec![
                Box::new(Overview::default()),
                Box::new(Lanes::default()),
                Box::new(CacheScreen::default()),
                Box::new(ActionsScreen::default()),
                Box::new(Images::default()),
                Box::new(Logs::default()),
                Box::new(StagesScreen::default()),
            ],
            place: Place::Overview,
            trail: Vec::new(),
            overlay: Overlay::None,
            filters: BTreeMap::new(),
            history: Vec::new(),
            keymap,
            label,
            replay,
            position: None,
            summary: Summary::default(),
            hits: Hits::default(),
            clicked: None,
            notice: None,
            effects: Vec::new(),
            need: Need::Now,
            changed: Need::Now,
            prepared: i64::MIN,
            drawn: i64::MIN,
            remembered: String::new(),
        };
        app.restore(settings.as_deref().unwrap_or_default(), theme.is_some(), glyphs.is_some());
        app.remembered = app.settings();
        app
    }

    /// Takes the next event of the farm.
    pub fn event(&mut self, recorded: &FarmRecorded) {
        self.world.farm.apply(recorded);
        let need = match &recorded.event {
            // Samples of machines come all the time and are not worth a frame of their own.
            FarmEvent::Load { .. } | FarmEvent::Store(_) => Need::Soon,
            FarmEvent::Began { .. } => {
                let again = self.world.follows.again();
                self.effects.extend(again);
                Need::Now
            }
            FarmEvent::CaughtUp
            | FarmEvent::Past(_)
            | FarmEvent::Build { .. }
            | FarmEvent::Worker(_)
            | FarmEvent::WorkerLost { .. }
            | FarmEvent::Acted(_) => Need::Now,
        };
        self.changed = self.changed.max(need);
        if self.world.frozen.is_none() {
            self.want(need);
        }
    }

    /// The stream has broken off; it will begin anew.
    pub fn lost(&mut self, now: i64, reason: &str) {
        self.world.farm.lost(now, reason);
        self.want(Need::Now);
    }

    /// The recording has come to its end.
    pub fn over(&mut self) {
        self.world.farm.over();
        self.want(Need::Now);
    }

    /// Forgets the farm, because a recording is played from another point on; what is on the screen stays.
    pub fn rewind(&mut self) {
        self.world.farm = crate::state::Farm::default();
        self.world.estimates = estimate::Estimates::default();
        self.changed = Need::Now;
        self.prepared = i64::MIN;
        self.want(Need::Now);
    }

    /// Takes an answer.
    pub fn answer(&mut self, answer: &Answer, now: i64) -> Vec<Effect> {
        match answer {
            Answer::Log { build, recorded } => {
                if self.world.follows.apply(*build, recorded) {
                    self.changed = Need::Now;
                    self.want(Need::Now);
                }
            }
            Answer::Done(order) => self.say(orders::done(order), false, now),
            Answer::Refused { what, message, hint } => {
                let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                self.say(format!("failed to {what}: {message}{hint}"), true, now);
            }
            Answer::Images(_)
            | Answer::Image(_)
            | Answer::Waste { .. }
            | Answer::Entries { .. }
            | Answer::Compare { .. } => {
                self.changed = Need::Now;
                self.want(Need::Now);
            }
        }
        let mut wishes = Vec::new();
        for screen in &mut self.screens {
            wishes.extend(screen.answer(answer, &self.world.context(now)));
        }
        self.perform(wishes, now);
        std::mem::take(&mut self.effects)
    }

    /// What time alone changes; call it after each frame.
    pub fn tick(&mut self, now: i64) -> Vec<Effect> {
        // A recording may have been played from an earlier point on.
        let shown = now..=now.saturating_add(NOTICE);
        if self.notice.as_ref().is_some_and(|notice| notice.until <= now || !shown.contains(&notice.until)) {
            self.notice = None;
            self.want(Need::Now);
        }
        self.refresh(now);
        let settings = self.settings();
        if settings != self.remembered {
            self.remembered.clone_from(&settings);
            self.effects.push(Effect::Remember(settings));
        }
        std::mem::take(&mut self.effects)
    }

    /// Whether a new frame would show something new. Ask as often as frames may be drawn.
    pub fn wants_frame(&self, now: i64) -> bool {
        let second = |time: i64| time.div_euclid(1_000_000_000);
        match self.need {
            Need::Now => true,
            Need::None if self.is_stale(now) && self.world.frozen.is_none() => true,
            Need::None if !self.moves() => false,
            Need::None | Need::Soon => second(now) != second(self.drawn),
        }
    }

    /// Whether it is time to derive anew what is drawn.
    fn is_stale(&self, now: i64) -> bool {
        let age = now.saturating_sub(self.prepared);
        let least = match self.changed {
            Need::Now => STALE,
            Need::Soon => MOVED,
            Need::None if self.moves() => MOVED,
            Need::None => i64::MAX,
        };
        self.prepared == i64::MIN || !(0..least).contains(&age)
    }

    /// Whether time alone changes what is shown.
    fn moves(&self) -> bool {
        let running = self.world.farm.totals().builds > 0 && self.world.frozen.is_none();
        running || self.notice.is_some() || matches!(self.world.farm.link(), crate::state::Link::Lost { .. })
    }

    fn want(&mut self, need: Need) {
        self.need = self.need.max(need);
    }

    fn say(&mut self, text: impl Into<String>, is_bad: bool, now: i64) {
        self.notice = Some(Notice { text: text.into(), is_bad, until: now.saturating_add(NOTICE) });
        self.want(Need::Now);
    }

    /// Derives what is drawn, when it is time to.
    fn refresh(&mut self, now: i64) {
        if self.is_stale(now) {
            self.prepare(now);
        }
    }

    /// Derives what is drawn now.
    fn prepare(&mut self, now: i64) {
        if self.world.frozen.is_none() {
            self.world.estimates.refresh(&self.world.farm, now);
            if let Some(build) = self.place.build() {
                self.world.look(build, now);
            }
        }
        (self.changed, self.prepared) = (Need::None, now);
        let wanted = self.wanted();
        let effects = self.world.follows.want(wanted);
        self.effects.extend(effects);
        let context = self.world.context(now);
        self.summary = Summary::of(&context);
        let view = self.place.view();
        if let Some(screen) = self.screens.iter_mut().find(|screen| screen.view() == view) {
            screen.prepare(&context);
            self.effects.extend(screen.asks().into_iter().map(Effect::Ask));
        }
    }

    /// The logs that are wanted: that of the build that is looked at, and the ends of those that failed of late.
    fn wanted(&self) -> BTreeMap<farm_model::BuildId, Extent> {
        let failures = world::failures(&self.world.farm);
        let mut wanted: BTreeMap<_, _> =
            failures.into_iter().take(TAILS).map(|id| (id, Extent::Tail)).collect();
        let view = self.place.view();
        let looked =
            self.screens.iter().find(|screen| screen.view() == view).and_then(|screen| screen.follows());
        wanted.extend(looked.or(self.place.build()).map(|id| (id, Extent::Whole)));
        wanted
    }
}
