//! Shared by the tests: a whole lowering in one call.

use farm_dockerfile::{Error, Lowered, Options, prepare_source};
use farm_model::graph::Image;
use farm_model::{Healthcheck, ImageConfig, Platform, Stage};
use serde_json::{Map, Value, json};

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

pub(crate) fn options() -> Options {
    Options::new(amd64())
}

/// Lowers `text`; `resolve` gives the configuration of base images.
pub(crate) fn lower_with(
    text: &str,
    options: Options,
    resolve: &dyn Fn(&Image) -> ImageConfig,
) -> Result<Lowered, Error> {
    let mut prepared = prepare_source(text.as_bytes(), options)?;
    while let Some(image) = prepared.wanted().first().cloned() {
        prepared.provide(&image, resolve(&image))?;
    }
    prepared.finish()
}

/// Lowers `text` on base images that set `PATH` and `CMD ["sh"]`.
pub(crate) fn lower(text: &str) -> Result<Lowered, Error> {
    lower_with(text, options(), &|image| base(image))
}

pub(crate) fn base(image: &Image) -> ImageConfig {
    let mut config = ImageConfig::scratch(image.platform.clone());
    config.set_env("PATH", "/bin");
    config.cmd = Some(vec!["sh".to_owned()]);
    config
}

/// The stage that is built.
pub(crate) fn target(lowered: &Lowered) -> &Stage {
    lowered.graph.stage(lowered.graph.target).unwrap()
}

/// A directory that an environment variable names, or a line that says that it is not set.
pub(crate) fn directory(variable: &str) -> Option<std::path::PathBuf> {
    let value = std::env::var_os(variable);
    if value.is_none() {
        println!("SKIPPED: {variable} is not set");
    }
    value.map(Into::into)
}

/// A health check as Docker's JSON has it: times in nanoseconds, defaults left out.
pub(crate) fn health(check: &Healthcheck) -> Value {
    let mut map = Map::new();
    map.insert("Test".to_owned(), json!(check.test));
    let times = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    for (name, time) in times.into_iter().filter(|(_, time)| !time.is_zero()) {
        map.insert(name.to_owned(), json!(u64::try_from(time.as_nanos()).unwrap()));
    }
    if check.retries != 0 {
        map.insert("Retries".to_owned(), json!(check.retries));
    }
    Value::Object(map)
}
