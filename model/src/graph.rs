//! The lowered build: stages, then steps with explicit inputs. It is closed: execution adds no step.

use std::fmt;

use crate::{ImageConfig, Op, Platform, Reference};

/// Position of a stage in the Dockerfile, from 0. Stages that the target does not need keep their number
/// but are not in the graph.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    rkyv::Archive,
    rkyv::Deserialize,
    rkyv::Serialize,
)]
pub struct StageId(pub u32);

/// Position of a source image in [`BuildGraph::images`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ImageId(pub u32);

/// One step of one stage.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    rkyv::Archive,
    rkyv::Deserialize,
    rkyv::Serialize,
)]
pub struct StepId {
    /// The stage.
    pub stage: StageId,
    /// Position within the stage, from 0.
    pub index: u32,
}

/// Name of a local directory that the client can read: the main context or one given by `--build-context`.
#[derive(
    Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct ContextName(pub String);

impl ContextName {
    /// The context that the command line names last.
    pub fn main() -> Self {
        Self("context".to_owned())
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an image that the build reads comes from.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ImageSource {
    /// A registry, or an image of that name that this farm built.
    Registry(Reference),
    /// An OCI layout directory on the client, and the tag or digest within it.
    OciLayout {
        /// Path as the client gave it.
        path: String,
        /// Tag or digest; the only manifest of the layout when absent.
        reference: Option<String>,
    },
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::OciLayout { path, reference } => {
                write!(f, "oci-layout://{path}")?;
                reference.iter().try_for_each(|reference| write!(f, "@{reference}"))
            }
        }
    }
}

/// One image that the build reads.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Image {
    /// Where it comes from.
    pub source: ImageSource,
    /// Which of its platforms is meant.
    pub platform: Platform,
}

/// What a stage starts from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// The result of an earlier stage.
    Stage(StageId),
    /// An image.
    Image(ImageId),
    /// A local directory given by `--build-context` in place of an image.
    Context(ContextName),
}

/// A Dockerfile lowered for one target and one platform.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildGraph {
    /// The stages that the target needs, in the order of the Dockerfile.
    pub stages: Vec<Stage>,
    /// The stage whose result is the image; it is the last in `stages`.
    pub target: StageId,
    /// Every image that some step or stage reads.
    pub images: Vec<Image>,
}

impl BuildGraph {
    /// The stage with that number, when the target needs it.
    pub fn stage(&self, id: StageId) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.id == id)
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its number in the Dockerfile.
    pub id: StageId,
    /// The name after `AS`, else the number as text.
    pub name: String,
    /// What it starts from.
    pub base: Base,
    /// Its platform.
    pub platform: Platform,
    /// What happens in it, metadata-only steps included.
    pub steps: Vec<Step>,
    /// The configuration after its last step; known before anything runs.
    pub config: ImageConfig,
    /// Whether cached results of its steps are not to be used.
    pub no_cache: bool,
}

impl Stage {
    /// What to call the stage where people read it: its name, else `stage-` and its number.
    pub fn label(&self) -> String {
        if self.name == self.id.0.to_string() { format!("stage-{}", self.name) } else { self.name.clone() }
    }
}

/// One step: an instruction with everything expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Where it stands.
    pub id: StepId,
    /// The instruction as progress shows it, variables expanded, heredocs shortened to their first line.
    pub name: String,
    /// The instruction as the image's history shows it.
    pub created_by: String,
    /// The author at that point.
    pub author: Option<String>,
    /// First and last line in the Dockerfile, from 1; absent for a trigger of the base image.
    pub lines: Option<(u32, u32)>,
    /// What it does.
    pub op: Op,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_source_prints_as_it_is_typed() {
        let layout = ImageSource::OciLayout { path: "/tmp/x".to_owned(), reference: Some("v1".to_owned()) };
        assert_eq!(layout.to_string(), "oci-layout:///tmp/x@v1");
    }
}
