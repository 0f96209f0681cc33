//! The configuration of an image, as our own type; `farm-oci` alone knows its JSON form.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Platform;

/// What an image says about how to run it. Field meanings follow the OCI image-spec, "Image Configuration",
/// and Docker's additions (`Healthcheck`, `OnBuild`, `Shell`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageConfig {
    /// What the image runs on.
    pub platform: Platform,
    /// Name and address of the person who is responsible for the image.
    pub author: Option<String>,
    /// Environment, in the order of its first mention, each name once.
    pub env: Vec<(String, String)>,
    /// Arguments, or the default command where there is no entry point.
    pub cmd: Option<Vec<String>>,
    /// The command that always runs.
    pub entrypoint: Option<Vec<String>>,
    /// `user[:group]`, names or ids; empty means root.
    pub user: String,
    /// Absolute path; empty means `/`.
    pub working_dir: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// `port/protocol`.
    pub exposed_ports: BTreeSet<String>,
    /// Paths that hold data.
    pub volumes: BTreeSet<String>,
    /// How to test that a container works.
    pub healthcheck: Option<Healthcheck>,
    /// Instructions that a build from this image runs first.
    pub on_build: Vec<String>,
    /// Name or number of the signal that stops a container.
    pub stop_signal: Option<String>,
    /// The shell of the shell forms, when it is not the platform's.
    pub shell: Option<Vec<String>>,
    /// Whether `CMD` was set by this build rather than inherited; an `ENTRYPOINT` resets an inherited one.
    pub cmd_set: bool,
    /// Nanoseconds since the Unix epoch at which the image was created, when it says so.
    pub created: Option<i64>,
}

impl ImageConfig {
    /// The configuration of `FROM scratch`.
    pub fn scratch(platform: Platform) -> Self {
        Self {
            platform,
            author: None,
            env: Vec::new(),
            cmd: None,
            entrypoint: None,
            user: String::new(),
            working_dir: String::new(),
            labels: BTreeMap::new(),
            exposed_ports: BTreeSet::new(),
            volumes: BTreeSet::new(),
            healthcheck: None,
            on_build: Vec::new(),
            stop_signal: None,
            shell: None,
            cmd_set: false,
            created: None,
        }
    }

    /// The value of the environment variable `name`.
    pub fn env(&self, name: &str) -> Option<&str> {
        let (_, value) = self.env.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// Sets an environment variable, in place when it exists.
    pub fn set_env(&mut self, name: &str, value: &str) {
        if let Some((_, slot)) = self.env.iter_mut().find(|(key, _)| key == name) {
            value.clone_into(slot);
        } else {
            self.env.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// `HEALTHCHECK`. A zero duration or count means Docker's default.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time after which a check counts as failed.
    pub timeout: Duration,
    /// Time for the container to start, in which failures do not count.
    pub start_period: Duration,
    /// Time between two checks while it starts.
    pub start_interval: Duration,
    /// Failures in a row after which the container is unhealthy.
    pub retries: u32,
}

/// One entry of an image's history.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct History {
    /// Nanoseconds since the Unix epoch, when known.
    pub created: Option<i64>,
    /// The instruction in the form that `docker history` shows.
    pub created_by: String,
    /// Which builder wrote it.
    pub comment: String,
    /// The image's author at that time.
    pub author: Option<String>,
    /// Whether no layer belongs to the entry.
    pub empty_layer: bool,
}
