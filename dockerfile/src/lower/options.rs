//! What the command line says about a build, as far as it shapes the graph.

use std::collections::BTreeMap;

use farm_model::op::{Network, Ulimit};
use farm_model::{ContextName, ImageSource, Platform, Reference};

/// Everything that decides how a Dockerfile is lowered, apart from the Dockerfile.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `--target`: a stage by name or number; the last one when absent.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--label`, in order; a later one of the same name wins.
    pub labels: Vec<(String, String)>,
    /// `--build-context`, by name as the user typed it (`name` or `name::platform`).
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--platform`; the build's own when absent, and the base image then decides.
    pub platform: Option<Platform>,
    /// What the build runs on.
    pub build_platform: Platform,
    /// `--no-cache` and `--no-cache-filter`.
    pub no_cache: NoCache,
    /// `--network`: for steps that do not say.
    pub network: Network,
    /// `--add-host`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// `--shm-size` in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// Host name inside of steps; the build argument `BUILDKIT_SANDBOX_HOSTNAME` goes before it.
    pub hostname: Option<String>,
}

impl Options {
    /// No option given, on a machine of that platform.
    #[must_use]
    pub fn new(build_platform: Platform) -> Self {
        Self {
            target: None,
            build_args: BTreeMap::new(),
            labels: Vec::new(),
            contexts: BTreeMap::new(),
            platform: None,
            build_platform,
            no_cache: NoCache::Never,
            network: Network::Default,
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            hostname: None,
        }
    }

    /// The platform that the result is for.
    #[must_use]
    pub fn target_platform(&self) -> &Platform {
        self.platform.as_ref().unwrap_or(&self.build_platform)
    }

    /// The context that stands for the image or stage `name` on `platform`, and its own name.
    ///
    /// `busybox`, `busybox:latest` and `docker.io/library/busybox` are the same name.
    pub(crate) fn context(&self, name: &str, platform: &Platform) -> Option<Named> {
        if self.contexts.is_empty()
            || ["scratch", "context"].iter().any(|word| name.eq_ignore_ascii_case(word))
        {
            return None;
        }
        let wanted = normalised(name);
        let mut general = None;
        for (key, context) in &self.contexts {
            let (key_name, key_platform) = match key.split_once("::") {
                Some((key_name, text)) => (key_name, Some(text)),
                None => (key.as_str(), None),
            };
            if normalised(key_name) != wanted {
                continue;
            }
            let named = || named(key, context);
            match key_platform {
                None => general = general.or_else(|| Some(named())),
                Some(text) if text.parse().is_ok_and(|parsed: Platform| parsed == *platform) => {
                    return Some(named());
                }
                Some(_) => {}
            }
        }
        general
    }
}

/// Which cached results are not to be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoCache {
    /// All may be used.
    Never,
    /// `--no-cache`: none.
    All,
    /// `--no-cache-filter`: none of these stages.
    Stages(Vec<String>),
}

impl NoCache {
    /// Whether the stage of that name or number is to be built anew.
    pub(crate) fn applies_to(&self, stage: &str) -> bool {
        match self {
            Self::Never => false,
            Self::All => true,
            Self::Stages(names) => names.iter().any(|name| name.eq_ignore_ascii_case(stage)),
        }
    }
}

/// What a `--build-context` stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NamedContext {
    /// A directory of the client; its [`ContextName`] is the name under which it was given.
    Directory,
    /// An image; `docker-image://scratch` is the empty one.
    Image(ImageSource),
}

/// A named context that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Named {
    Directory(ContextName),
    Image(ImageSource),
    Scratch,
}

fn named(key: &str, context: &NamedContext) -> Named {
    match context {
        NamedContext::Directory => Named::Directory(ContextName(key.to_owned())),
        NamedContext::Image(ImageSource::Registry(reference)) if reference.familiar() == "scratch:latest" => {
            Named::Scratch
        }
        NamedContext::Image(source) => Named::Image(source.clone()),
    }
}

/// The familiar form of a reference without `:latest`; other texts as they are.
fn normalised(name: &str) -> String {
    match name.parse::<Reference>() {
        Ok(reference) => {
            let familiar = reference.familiar();
            familiar.strip_suffix(":latest").map_or_else(|| familiar.clone(), str::to_owned)
        }
        Err(_) => name.to_owned(),
    }
}
