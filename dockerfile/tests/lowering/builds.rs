//! Builds whose image configuration is known, because other builders made them.
//!
//! A case is a directory with `expect.json` and a context; see the documentation of the end-to-end
//! runner for the format. Only what lowering decides is compared.

use std::fs;
use std::path::Path;

use farm_dockerfile::{Lowered, NamedContext, Options};
use farm_model::graph::Image;
use farm_model::op::Ulimit;
use farm_model::{ImageConfig, ImageSource};
use serde_json::{Map, Value, json};

use crate::support::{amd64, directory, health, lower_with, target};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configurations of the three bases that the cases assume.
fn base(image: &Image) -> ImageConfig {
    let mut config = ImageConfig::scratch(amd64());
    config.set_env("PATH", PATH);
    let ImageSource::Registry(reference) = &image.source else { return config };
    let command = match reference.repository.as_str() {
        "library/busybox" => "sh",
        "library/alpine" => "/bin/sh",
        "library/debian" => "bash",
        _ => return config,
    };
    config.cmd = Some(vec![command.to_owned()]);
    config
}

fn texts(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
}

fn options_of(build: &Value) -> Options {
    let mut options = Options::new(amd64());
    options.target = build["target"].as_str().map(str::to_owned);
    options.platform = build["platform"].as_str().map(|text| text.parse().unwrap());
    options.build_args = texts(&build["build_args"]).collect();
    options.labels = texts(&build["labels"]).collect();
    options.contexts = texts(&build["contexts"])
        .map(|(name, value)| match value.strip_prefix("docker-image://") {
            Some(image) => (name, NamedContext::Image(ImageSource::Registry(image.parse().unwrap()))),
            None => (name, NamedContext::Directory),
        })
        .collect();
    options.hostname = build["attrs"]["hostname"].as_str().map(str::to_owned);
    options.shm_size = build["attrs"]["shm-size"].as_str().map(|text| text.parse().unwrap());
    if build["attrs"]["ulimit"].is_string() {
        options.ulimits.push(Ulimit { name: "nofile".to_owned(), soft: 1062, hard: 1062 });
    }
    options
}

/// The configuration as JSON, without what is empty.
fn shown(lowered: &Lowered) -> Map<String, Value> {
    let config = &target(lowered).config;
    let env: Vec<String> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let set = |names: &std::collections::BTreeSet<String>| {
        Value::Object(names.iter().map(|name| (name.clone(), json!({}))).collect())
    };
    let health = config.healthcheck.as_ref().map(health);
    let all = json!({
        "Env": env,
        "Cmd": config.cmd,
        "Entrypoint": config.entrypoint,
        "User": config.user,
        "WorkingDir": if config.working_dir == "/" { "" } else { &config.working_dir },
        "Labels": config.labels,
        "ExposedPorts": set(&config.exposed_ports),
        "Volumes": set(&config.volumes),
        "Healthcheck": health,
        "OnBuild": config.on_build,
        "StopSignal": config.stop_signal,
        "Shell": config.shell,
        "author": config.author,
    });
    let Value::Object(all) = all else { return Map::new() };
    all.into_iter().filter(|(_, value)| !is_empty(value)).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Failures that only a run, a pull or a look at files can find: what fails then is in the graph.
fn may_fail_later(case: &Value, lowered: &Lowered) -> bool {
    let mut tokens =
        case["expect"]["error_contains"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let graph = format!("{:?}", lowered.graph);
    tokens.all(|token| graph.contains(token) || token == "exclusion pattern")
}

fn check(directory: &Path, case: &Value, failed_early: &mut Vec<String>) -> Result<(), String> {
    let build = &case["build"];
    let context = directory.join(build["dockerfile_dir"].as_str().unwrap_or("context"));
    let name = build["dockerfile"].as_str().unwrap_or("Dockerfile");
    let text = fs::read(context.join(name))
        .or_else(|_| fs::read(context.join(name.to_lowercase())))
        .map_err(|error| format!("{name}: {error}"))?;
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    let lowered = lower_with(&text, options_of(build), &base);
    let expect = &case["expect"];
    match (lowered, expect["result"].as_str()) {
        (Ok(lowered), Some("ok")) => {
            let mut wanted = expect["config"].as_object().cloned().unwrap_or_default();
            wanted.retain(|_, value| !is_empty(value));
            let found = shown(&lowered);
            let differs = found.iter().any(|(key, value)| wanted.get(key) != Some(value))
                || wanted.len() != found.len();
            if differs { Err(format!("config {found:?}\n  expected {wanted:?}")) } else { Ok(()) }
        }
        (Ok(lowered), _) if may_fail_later(case, &lowered) => Ok(()),
        (Ok(_), _) => Err("lowered, but the build must fail".to_owned()),
        (Err(error), Some("fail")) => {
            let shown =
                format!("{error} {}", error.diagnostic().hint.clone().unwrap_or_default()).to_lowercase();
            failed_early.push(format!("{}: {error}", case["id"].as_str().unwrap_or_default()));
            let tokens = expect["error_contains"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing: Vec<&str> = tokens.filter(|token| !shown.contains(&token.to_lowercase())).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("`{error}` lacks {missing:?}")) }
        }
        (Err(error), _) => Err(format!("failed: {error}")),
    }
}

#[test]
fn known_builds_get_the_configuration_that_other_builders_gave_them() {
    let Some(cases) = directory("FARM_CASES") else { return };
    let mut paths: Vec<_> = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut problems = Vec::new();
    let mut failed_early = Vec::new();
    let mut count = 0;
    for path in paths.iter().filter(|path| path.join("expect.json").exists()) {
        let case: Value = serde_json::from_slice(&fs::read(path.join("expect.json")).unwrap()).unwrap();
        count += 1;
        if let Err(problem) = check(path, &case, &mut failed_early) {
            problems.push(format!("{} ({}): {problem}", case["id"], case["set"]));
        }
    }
    println!(
        "{count} builds, {} of them refused as expected:\n{}",
        failed_early.len(),
        failed_early.join("\n")
    );
    assert!(problems.is_empty(), "{} of {count} builds differ:\n{}", problems.len(), problems.join("\n"));
    assert!(count > 0, "no case was found");
}
