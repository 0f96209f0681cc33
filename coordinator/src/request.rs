//! What a client asks for, in the terms of planning.

use farm_dockerfile::lower;
use farm_model::ImageSource;
use farm_proto::client::{BuildRequest, Goal, NamedContext, NoCache};

use crate::Session;
use crate::layout::Layouts;

/// One build.
#[derive(Debug)]
pub(crate) struct Request {
    /// The Dockerfile's bytes.
    pub(crate) dockerfile: Vec<u8>,
    /// What to call it in messages.
    pub(crate) dockerfile_name: String,
    /// Target, arguments, contexts and the like.
    pub(crate) options: lower::Options,
    /// Whether tags are asked for again although the last answer is fresh.
    pub(crate) pull: bool,
    /// What is wanted of it.
    pub(crate) goal: Goal,
    /// By what the image is known from build to build: its names without their tags, else what its Dockerfile is called.
    pub(crate) families: Vec<String>,
    /// The OCI layouts that the client names.
    pub(crate) layouts: Layouts,
}

impl Request {
    pub(crate) fn new(asked: &BuildRequest, session: Session) -> Self {
        Self {
            dockerfile: asked.dockerfile.clone(),
            dockerfile_name: asked.dockerfile_name.clone(),
            options: options(asked),
            pull: asked.pull,
            goal: asked.goal,
            families: families(asked),
            layouts: Layouts::new(session),
        }
    }
}

fn families(asked: &BuildRequest) -> Vec<String> {
    if asked.names.is_empty() {
        return vec![asked.context_name.clone(), asked.dockerfile_name.clone()];
    }
    asked.names.iter().map(|name| format!("{}/{}", name.registry, name.repository)).collect()
}

fn options(asked: &BuildRequest) -> lower::Options {
    let mut options = lower::Options::new(asked.build_platform.clone());
    options.target.clone_from(&asked.target);
    options.build_args.clone_from(&asked.build_args);
    options.labels.clone_from(&asked.labels);
    options.contexts = asked.contexts.iter().map(|(name, source)| (name.clone(), context(source))).collect();
    options.platform.clone_from(&asked.platform);
    options.no_cache = match &asked.no_cache {
        NoCache::Never => lower::NoCache::Never,
        NoCache::All => lower::NoCache::All,
        NoCache::Stages(stages) => lower::NoCache::Stages(stages.clone()),
    };
    options.network = asked.network;
    options.extra_hosts.clone_from(&asked.extra_hosts);
    options.shm_size = asked.shm_size;
    options.ulimits.clone_from(&asked.ulimits);
    options
}

fn context(source: &NamedContext) -> lower::NamedContext {
    match source {
        NamedContext::Local => lower::NamedContext::Directory,
        NamedContext::Image(reference) => {
            lower::NamedContext::Image(ImageSource::Registry(reference.clone()))
        }
        NamedContext::OciLayout { path, reference } => lower::NamedContext::Image(ImageSource::OciLayout {
            path: path.clone(),
            reference: reference.clone(),
        }),
    }
}
