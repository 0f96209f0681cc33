//! The JSON of an image's configuration, and its conversion from and to [`ImageConfig`].
//!
//! Field names and their order are those of the OCI image-spec ("Image Configuration") with Docker's additions
//! `Healthcheck`, `OnBuild` and `Shell`. Unknown fields of a base are tolerated and not carried on: a field whose meaning
//! is unknown may not be true of the image that is built on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use farm_model::{Healthcheck, History, ImageConfig, OciDigest, Platform};
use serde::{Deserialize, Serialize};

use crate::Error;

type Empty = serde_json::Map<String, serde_json::Value>;

#[derive(Debug, Deserialize, Serialize)]
struct Document {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(default)]
    architecture: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    variant: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RunConfig>,
    rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<Vec<HistoryEntry>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    #[serde(skip_serializing_if = "none_or_empty_text")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<BTreeMap<String, Empty>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<BTreeMap<String, Empty>>,
    #[serde(skip_serializing_if = "none_or_empty_text")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "none_or_empty_text")]
    stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<HealthcheckJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_build: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct HealthcheckJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    interval: u64,
    #[serde(skip_serializing_if = "is_zero")]
    timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    start_period: u64,
    #[serde(skip_serializing_if = "is_zero")]
    start_interval: u64,
    #[serde(skip_serializing_if = "is_zero_count")]
    retries: u32,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct HistoryEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "none_or_empty_text")]
    created_by: Option<String>,
    #[serde(skip_serializing_if = "none_or_empty_text")]
    author: Option<String>,
    #[serde(skip_serializing_if = "none_or_empty_text")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    empty_layer: bool,
}

/// What a config document says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParsedConfig {
    /// How to run the image.
    pub config: ImageConfig,
    /// Its history, oldest first.
    pub history: Vec<History>,
    /// Digests of its uncompressed layers, lowest first.
    pub diff_ids: Vec<OciDigest>,
}

/// Reads the JSON of a config; `what` names it in errors.
pub fn parse_config(what: &str, json: &[u8]) -> Result<ParsedConfig, Error> {
    let malformed = |reason: String| Error::Malformed { what: what.to_owned(), reason };
    let document: Document = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
    let diff_ids = document.rootfs.diff_ids.unwrap_or_default();
    let diff_ids = diff_ids
        .iter()
        .map(|text| text.parse::<OciDigest>().map_err(|error| malformed(error.to_string())))
        .collect::<Result<_, _>>()?;
    let platform = normalised(&document.os, &document.architecture, &document.variant);
    let run = document.config.unwrap_or_default();
    let config = ImageConfig {
        author: document.author.filter(|author| !author.is_empty()),
        created: document.created.as_deref().and_then(parse_time),
        ..from_run_config(platform, run)
    };
    let history = document.history.unwrap_or_default().into_iter().map(from_history).collect();
    Ok(ParsedConfig { config, history, diff_ids })
}

/// Writes the JSON of a config. The same values give the same bytes.
pub fn write_config(config: &ImageConfig, history: &[History], diff_ids: &[OciDigest]) -> Vec<u8> {
    let document = Document {
        created: config.created.map(format_time),
        author: config.author.clone(),
        architecture: config.platform.architecture.clone(),
        variant: config.platform.variant.clone(),
        os: config.platform.os.clone(),
        config: Some(to_run_config(config)),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: Some(diff_ids.iter().map(ToString::to_string).collect()),
        },
        history: Some(history.iter().map(to_history).collect()),
    };
    serde_json::to_vec(&document).expect("strings, numbers and maps with string keys are always JSON")
}

fn from_run_config(platform: Platform, run: RunConfig) -> ImageConfig {
    let mut config = ImageConfig::scratch(platform);
    for variable in run.env.unwrap_or_default() {
        let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
        config.set_env(name, value);
    }
    config.cmd = run.cmd;
    config.entrypoint = run.entrypoint;
    config.user = run.user.unwrap_or_default();
    config.working_dir = run.working_dir.unwrap_or_default();
    config.labels = run.labels.unwrap_or_default();
    config.exposed_ports = run.exposed_ports.unwrap_or_default().into_keys().collect();
    config.volumes = run.volumes.unwrap_or_default().into_keys().collect();
    config.healthcheck = run.healthcheck.map(|check| Healthcheck {
        test: check.test,
        interval: Duration::from_nanos(check.interval),
        timeout: Duration::from_nanos(check.timeout),
        start_period: Duration::from_nanos(check.start_period),
        start_interval: Duration::from_nanos(check.start_interval),
        retries: check.retries,
    });
    config.on_build = run.on_build.unwrap_or_default();
    config.stop_signal = run.stop_signal.filter(|signal| !signal.is_empty());
    config.shell = run.shell.filter(|shell| !shell.is_empty());
    config
}

fn to_run_config(config: &ImageConfig) -> RunConfig {
    let keys = |set: &BTreeSet<String>| {
        let map: BTreeMap<_, _> = set.iter().map(|key| (key.clone(), Empty::new())).collect();
        (!map.is_empty()).then_some(map)
    };
    let env: Vec<_> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    RunConfig {
        user: Some(config.user.clone()),
        exposed_ports: keys(&config.exposed_ports),
        env: (!env.is_empty()).then_some(env),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: keys(&config.volumes),
        working_dir: Some(config.working_dir.clone()),
        labels: (!config.labels.is_empty()).then(|| config.labels.clone()),
        stop_signal: config.stop_signal.clone(),
        healthcheck: config.healthcheck.as_ref().map(|check| HealthcheckJson {
            test: check.test.clone(),
            interval: nanos(check.interval),
            timeout: nanos(check.timeout),
            start_period: nanos(check.start_period),
            start_interval: nanos(check.start_interval),
            retries: check.retries,
        }),
        on_build: (!config.on_build.is_empty()).then(|| config.on_build.clone()),
        shell: config.shell.clone(),
    }
}

fn from_history(entry: HistoryEntry) -> History {
    History {
        created: entry.created.as_deref().and_then(parse_time),
        created_by: entry.created_by.unwrap_or_default(),
        comment: entry.comment.unwrap_or_default(),
        author: entry.author.filter(|author| !author.is_empty()),
        empty_layer: entry.empty_layer,
    }
}

fn to_history(history: &History) -> HistoryEntry {
    HistoryEntry {
        created: history.created.map(format_time),
        created_by: Some(history.created_by.clone()),
        author: history.author.clone(),
        comment: Some(history.comment.clone()),
        empty_layer: history.empty_layer,
    }
}

/// The platform of a document in the form that [`Platform`]'s parser gives, or as written when it names none.
pub(crate) fn normalised(os: &str, architecture: &str, variant: &str) -> Platform {
    let text = if variant.is_empty() {
        format!("{os}/{architecture}")
    } else {
        format!("{os}/{architecture}/{variant}")
    };
    text.parse().unwrap_or_else(|_| Platform {
        os: os.to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
    })
}

/// RFC 3339; a time that does not parse or does not fit (Go's zero time) is none.
fn parse_time(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

fn format_time(nanos: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
fn none_or_empty_text(text: &Option<String>) -> bool {
    text.as_deref().is_none_or(str::is_empty)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero_count(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform() -> Platform {
        "linux/arm/v7".parse().unwrap()
    }

    fn full() -> ImageConfig {
        let mut config = ImageConfig::scratch(platform());
        config.author = Some("a".into());
        config.env = vec![("PATH".into(), "/bin:/a=b".into()), ("E".into(), String::new())];
        config.cmd = Some(vec!["x".into()]);
        config.entrypoint = Some(vec!["/e".into()]);
        config.user = "1:2".into();
        config.working_dir = "/w".into();
        config.labels.insert("k".into(), "v".into());
        config.exposed_ports.insert("80/tcp".into());
        config.volumes.insert("/data".into());
        config.healthcheck = Some(Healthcheck {
            test: vec!["CMD".into(), "true".into()],
            interval: Duration::from_secs(3),
            retries: 2,
            ..Healthcheck::default()
        });
        config.on_build = vec!["RUN x".into()];
        config.stop_signal = Some("SIGINT".into());
        config.shell = Some(vec!["/bin/bash".into(), "-c".into()]);
        config.created = Some(1_700_000_000_123_456_789);
        config
    }

    #[test]
    fn a_config_survives_its_json() {
        let history = vec![History {
            created: Some(1_000_000_000),
            created_by: "RUN x".into(),
            comment: "c".into(),
            author: None,
            empty_layer: true,
        }];
        let diff_ids = vec![OciDigest([7; 32])];
        let json = write_config(&full(), &history, &diff_ids);
        let parsed = parse_config("config", &json).unwrap();
        assert_eq!(parsed.config, full());
        assert_eq!(parsed.history, history);
        assert_eq!(parsed.diff_ids, diff_ids);
    }

    #[test]
    fn fields_come_in_dockers_order() {
        let json = String::from_utf8(write_config(&full(), &[], &[])).unwrap();
        let at =
            |name: &str| json.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} in {json}"));
        let names = [
            "created",
            "author",
            "architecture",
            "variant",
            "os",
            "config",
            "User",
            "Env",
            "Entrypoint",
            "rootfs",
            "history",
        ];
        assert!(names.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{json}");
        assert!(json.contains("2023-11-14T22:13:20.123456789Z"), "{json}");
    }

    #[test]
    fn another_implementation_reads_it() {
        let json = write_config(&full(), &[], &[OciDigest([7; 32])]);
        let other = oci_spec::image::ImageConfiguration::from_reader(&json[..]).unwrap();
        assert_eq!(other.rootfs().diff_ids().len(), 1);
        assert_eq!(other.config().as_ref().unwrap().working_dir().as_deref(), Some("/w"));
    }

    #[test]
    fn nulls_unknown_fields_and_odd_times_are_tolerated() {
        let json = br#"{"created":"0001-01-01T00:00:00Z","os":"linux","architecture":"arm64","variant":"v8","x":1,
            "config":{"Env":null,"Cmd":null,"Labels":null,"Nope":{}},"rootfs":{"type":"layers","diff_ids":null},"history":null}"#;
        let parsed = parse_config("config", json).unwrap();
        assert_eq!(parsed.config.created, None);
        assert_eq!(parsed.config.platform.to_string(), "linux/arm64");
        assert!(parsed.diff_ids.is_empty());
    }
}
