//! `farm.toml`: which registries to ask and how, what isolates steps, how many of them run at once, their limits, and the worker's
//! labels.
//!
//! Read in order, a later file overriding an earlier one key by key: `/etc/farm/farm.toml`,
//! `~/.config/farm/farm.toml`, and the file that `--config` or `FARM_CONFIG` names. Labels add up, and the table of a
//! registry is replaced as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::paths;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Config {
    /// How to reach registries, by host and port as they stand in image references.
    pub(crate) registry: BTreeMap<String, Registry>,
    /// Seconds for which a tag is not asked again; 300 when absent.
    pub(crate) resolve_ttl: Option<u64>,
    /// How many steps run at once; the number of processors, doubled, when absent.
    pub(crate) slots: Option<usize>,
    /// How many steps run at once at most, however little they use; eight times `slots` when absent.
    pub(crate) most_steps: Option<usize>,
    /// Labels of this machine's worker, which steps may ask for.
    pub(crate) labels: Vec<String>,
    /// Seconds without work after which a daemon ends; 1800 when absent.
    pub(crate) idle_exit: Option<u64>,
    /// What isolates steps; `native` when absent.
    pub(crate) runtime: Option<Runtime>,
    /// The program for `runtime = "oci"`: a name to be found in the `PATH`, or an absolute path; `runc` when absent.
    pub(crate) oci_runtime: Option<String>,
    /// What each step may use at most.
    pub(crate) step_limits: StepLimits,
}

/// What isolates steps.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Runtime {
    /// farm's own executor.
    #[default]
    Native,
    /// An OCI runtime such as runc.
    Oci,
}

/// Limits of a step; unlimited where absent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StepLimits {
    /// Memory in bytes, page cache included.
    pub(crate) memory: Option<u64>,
    /// Processors, such as 1.5.
    pub(crate) cpus: Option<f64>,
    /// Processes and threads.
    pub(crate) pids: Option<u64>,
    /// Seconds until the step is killed.
    pub(crate) timeout: Option<u64>,
}

/// One registry.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registry {
    /// Hosts that are asked first, in order.
    pub(crate) mirrors: Vec<String>,
    /// Whether plain HTTP and unknown certificates are accepted.
    pub(crate) insecure: bool,
}

impl Config {
    /// Tells two configurations apart, the state directory among their values.
    pub(crate) fn fingerprint(&self) -> String {
        let values = serde_json::json!([self, paths::state()]);
        let digest = Sha256::digest(values.to_string().as_bytes());
        digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

/// Reads every file there is. A file that was named must exist.
pub(crate) fn load(named: Option<&Path>) -> Result<Config, Failure> {
    let mut config = Config::default();
    let home = paths::user_configuration().map(|directory| directory.join("farm.toml"));
    for path in [Some(PathBuf::from("/etc/farm/farm.toml")), home].into_iter().flatten() {
        if path.exists() {
            merge(&mut config, read(&path)?);
        }
    }
    if let Some(path) = named.map(Path::to_path_buf).or_else(|| paths::variable("FARM_CONFIG")) {
        merge(&mut config, read(&path)?);
    }
    Ok(config)
}

fn read(path: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read configuration `{}`: {error}", path.display()))
    })?;
    toml::from_str(&text).map_err(|error| {
        Failure::usage(format!("configuration `{}`: {}", path.display(), error.to_string().trim_end()))
    })
}

fn merge(config: &mut Config, later: Config) {
    config.registry.extend(later.registry);
    config.resolve_ttl = later.resolve_ttl.or(config.resolve_ttl);
    config.slots = later.slots.or(config.slots);
    config.most_steps = later.most_steps.or(config.most_steps);
    config.idle_exit = later.idle_exit.or(config.idle_exit);
    config.runtime = later.runtime.or(config.runtime);
    config.oci_runtime = later.oci_runtime.or(config.oci_runtime.take());
    config.labels.extend(later.labels);
    let (limits, later) = (&mut config.step_limits, later.step_limits);
    limits.memory = later.memory.or(limits.memory);
    limits.cpus = later.cpus.or(limits.cpus);
    limits.pids = later.pids.or(limits.pids);
    limits.timeout = later.timeout.or(limits.timeout);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_understood() {
        let text = "resolve-ttl = 60\n[registry.\"docker.io\"]\nmirrors = [\"127.0.0.1:5000\"]\n[registry.\"127.0.0.1:5000\"]\ninsecure = true\n";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.registry["docker.io"].mirrors, ["127.0.0.1:5000"]);
        assert!(config.registry["127.0.0.1:5000"].insecure);
        assert_eq!(config.resolve_ttl, Some(60));
    }

    #[test]
    fn another_value_is_another_configuration() {
        let one: Config = toml::from_str("slots = 1").unwrap();
        let two: Config = toml::from_str("slots = 2").unwrap();
        assert_eq!(one.fingerprint(), one.clone().fingerprint());
        assert_ne!(one.fingerprint(), two.fingerprint());
    }

    #[test]
    fn a_later_file_chooses_the_runtime() {
        let mut config: Config = toml::from_str("runtime = \"oci\"\noci-runtime = \"crun\"").unwrap();
        merge(&mut config, Config::default());
        assert_eq!((config.runtime, config.oci_runtime.as_deref()), (Some(Runtime::Oci), Some("crun")));
        merge(&mut config, toml::from_str("runtime = \"native\"").unwrap());
        assert_eq!((config.runtime, config.oci_runtime.as_deref()), (Some(Runtime::Native), Some("crun")));
    }

    #[test]
    fn an_unknown_key_or_runtime_is_refused() {
        assert!(toml::from_str::<Config>("mirror = 1").is_err());
        assert!(toml::from_str::<Config>("runtime = \"runc\"").is_err());
    }
}
