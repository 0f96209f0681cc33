//! Where farm keeps its state, its runtime files and its configuration.

use std::path::PathBuf;

use crate::failure::Failure;

/// Reads an environment variable that holds a path; empty counts as unset.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The store and what else must outlive a reboot.
pub(crate) fn state() -> PathBuf {
    variable("FARM_STATE_DIR").unwrap_or_else(|| PathBuf::from("/var/lib/farm"))
}

/// What must not outlive a reboot.
pub(crate) fn runtime() -> PathBuf {
    variable("FARM_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/run/farm"))
}

/// Where a daemon says how it is reached: for its own user only.
pub(crate) fn daemon() -> PathBuf {
    runtime().join("daemon")
}

/// Where the keys of a farm lie when no other place is named: beside the user's farm.toml, else beside the system's.
pub(crate) fn certificates() -> Option<PathBuf> {
    let places = [user_configuration(), Some(PathBuf::from("/etc/farm"))];
    places.into_iter().flatten().map(|place| place.join("certificates")).find(|place| place.is_dir())
}

/// The user's own configuration directory.
pub(crate) fn user_configuration() -> Option<PathBuf> {
    let base = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    Some(base?.join("farm"))
}

/// Docker's own configuration directory, which holds registry credentials.
pub(crate) fn docker_config() -> Option<PathBuf> {
    variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")))
}

/// Where a container engine listens: `DOCKER_HOST` says so as for docker's own client.
pub(crate) fn engine_socket() -> Result<PathBuf, Failure> {
    let Some(host) = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()) else {
        return Ok(PathBuf::from("/var/run/docker.sock"));
    };
    match host.strip_prefix("unix://") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(Failure::usage(format!(
            "`DOCKER_HOST={host}`: images are loaded through a socket, `unix://PATH`"
        ))
        .with_hint(Some("pipe them instead: `farm build --output type=docker,dest=- … | docker load`"))),
    }
}

/// Containers need root: mounts, namespaces and foreign owners of files.
pub(crate) fn require_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::environment("this needs root: steps mount file systems and write files of other owners")
        .with_hint(Some("run it as root, for example with `sudo`, or build on a farm with `--coordinator`")))
}
