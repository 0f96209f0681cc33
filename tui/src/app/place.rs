//! Where one can be.

use farm_model::{BuildId, StepId, WorkerId};

/// The views that there are.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum View {
    /// All builds.
    #[default]
    Overview,
    /// Workers and their slots.
    Workers,
    /// What the cache did.
    Cache,
    /// Images.
    Images,
    /// What people did.
    Actions,
    /// The stages of a build.
    Stages,
    /// The log of a build.
    Log,
}

impl View {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 7] =
        [Self::Overview, Self::Workers, Self::Cache, Self::Images, Self::Actions, Self::Stages, Self::Log];

    /// What it is called in settings and in the palette.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Workers => "workers",
            Self::Cache => "cache",
            Self::Images => "images",
            Self::Actions => "actions",
            Self::Stages => "stages",
            Self::Log => "log",
        }
    }

    /// The view of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }
}

/// A view of something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// All builds.
    Overview,
    /// Workers; one of them selected.
    Workers(Option<WorkerId>),
    /// What the cache did.
    Cache,
    /// Images; one of them open.
    Images(Option<String>),
    /// What people did.
    Actions,
    /// The stages of a build; one step selected.
    Stages(BuildId, Option<StepId>),
    /// The log of a build; of one step.
    Log(BuildId, Option<StepId>),
}

impl Place {
    /// Its view.
    pub fn view(&self) -> View {
        match self {
            Self::Overview => View::Overview,
            Self::Workers(_) => View::Workers,
            Self::Cache => View::Cache,
            Self::Images(_) => View::Images,
            Self::Actions => View::Actions,
            Self::Stages(..) => View::Stages,
            Self::Log(..) => View::Log,
        }
    }

    /// The build that it is about.
    pub fn build(&self) -> Option<BuildId> {
        match self {
            Self::Stages(build, _) | Self::Log(build, _) => Some(*build),
            Self::Overview | Self::Workers(_) | Self::Cache | Self::Images(_) | Self::Actions => None,
        }
    }
}
