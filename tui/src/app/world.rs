//! What the console knows, apart from what is on the screen: the farm, the logs that are followed, and how all of it is drawn.

use farm_model::BuildId;
use farm_model::event::Ending;

use super::estimate::Estimates;
use super::follow::Follows;
use super::screen::{Access, Context};
use crate::state::{Build, Farm, Phase};
use crate::view::glyphs::{GlyphSet, Glyphs};
use crate::view::theme::{Depth, Theme, ThemeName};

/// What screens look at.
#[derive(Debug)]
pub struct World {
    /// The farm, as it is.
    pub farm: Farm,
    /// As it was when the display was held still, and when that was.
    pub frozen: Option<Box<(Farm, i64)>>,
    /// The logs that are followed.
    pub follows: Follows,
    /// How long builds still take.
    pub estimates: Estimates,
    /// What the person may do.
    pub access: Access,
    /// Colours.
    pub theme: Theme,
    /// How many colours the terminal has.
    pub depth: Depth,
    /// Signs.
    pub glyphs: &'static Glyphs,
}

impl World {
    /// An empty one.
    pub fn new(theme: ThemeName, depth: Depth, glyphs: GlyphSet, access: Access) -> Self {
        Self {
            farm: Farm::default(),
            frozen: None,
            follows: Follows::default(),
            estimates: Estimates::default(),
            access,
            theme: Theme::new(theme, depth),
            depth,
            glyphs: glyphs.glyphs(),
        }
    }

    /// Computes the critical path of a build that is looked at.
    pub fn look(&mut self, id: BuildId, now: i64) {
        let told = self.farm.builds().get(&id);
        let is_short = told.is_none_or(|build| build.requested().is_none());
        let build = if is_short { self.follows.builds().get(&id).or(told) } else { told };
        if let Some(build) = build {
            self.estimates.look(id, build, now);
        }
    }

    /// What a screen may look at.
    pub fn context(&self, now: i64) -> Context<'_> {
        let (farm, now) = match self.frozen.as_deref() {
            Some((farm, then)) => (farm, *then),
            None => (&self.farm, now),
        };
        Context {
            farm,
            now,
            theme: &self.theme,
            glyphs: self.glyphs,
            logs: self.follows.logs(),
            details: self.follows.builds(),
            estimates: &self.estimates,
            access: &self.access,
        }
    }
}

/// The builds that failed since the stream began or have a failed step, the newest first.
pub fn failures(farm: &Farm) -> Vec<BuildId> {
    let failed = farm.builds().iter().filter(|(_, build)| has_failed(build));
    let end = |build: &Build| {
        build.started().saturating_add(i64::try_from(build.at()).unwrap_or(0).saturating_mul(1000))
    };
    let mut failed: Vec<(i64, BuildId)> = failed.map(|(id, build)| (end(build), *id)).collect();
    failed.sort_unstable_by(|a, b| b.cmp(a));
    failed.into_iter().map(|(_, id)| id).collect()
}

/// Whether a build has failed, or will because a step of it has.
pub fn has_failed(build: &Build) -> bool {
    matches!(build.ending(), Some(Ending::Failed(_))) || (!build.is_over() && build.counts().failed > 0)
}

/// The step of a build that failed.
pub fn failed_step(build: &Build) -> Option<&crate::state::Step> {
    if build.counts().failed == 0 { None } else { build.steps().find(|step| step.phase == Phase::Failed) }
}
