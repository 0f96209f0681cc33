//! Shared by the tests: a whole lowering in one call.

use farm_dockerfile::{Error, Lowered, Options, prepare_source};
use farm_model::graph::Image;
use farm_model::{ImageConfig, Platform, Stage};

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
