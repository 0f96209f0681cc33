//! A conformance case: a directory with `expect.json`, `context/` and, where git cannot hold the context, `setup.sh`.
//!
//! `setup.sh` runs inside a copy of the context: it sets the modes, times, attributes, devices and links that git forgets. A
//! case that builds several times in a row has a `seq.json` instead; see [`crate::sequence`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::expectation::{differences, missing_words};
use crate::farm::{Build, Farm, base_files};
use crate::image::Image;
use crate::sequence;

/// One case of a directory of cases.
#[derive(Clone, Debug)]
pub struct Case {
    directory: PathBuf,
    /// The directory's name, which says what the case is about.
    pub name: String,
    specification: Value,
}

impl Case {
    /// All cases below `directory`, by name.
    pub fn all(directory: &Path) -> Result<Vec<Self>, String> {
        let entries = fs::read_dir(directory)
            .map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
        let mut cases = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if let Some(case) = Self::load(&path)? {
                cases.push(case);
            }
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(cases)
    }

    fn load(directory: &Path) -> Result<Option<Self>, String> {
        let Some(file) =
            ["expect.json", "seq.json"].iter().map(|name| directory.join(name)).find(|file| file.exists())
        else {
            return Ok(None);
        };
        let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let specification =
            serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Self { directory: directory.to_owned(), name, specification }))
    }

    /// Builds and compares; what is wrong, or nothing.
    pub fn run(&self, farm: &Farm) -> Result<Vec<String>, String> {
        let work =
            tempfile::Builder::new().prefix("farm-case-").tempdir().map_err(|error| error.to_string())?;
        if self.specification["steps"].is_array() {
            return sequence::run(&self.directory, &self.specification, farm, work.path());
        }
        let place = work.path().join("case");
        copy(&self.directory, &place)?;
        prepare(&place, &place.join("context"))?;
        let outcome = build(farm, &self.specification["build"], &place, &place.join("context"))?.run();
        let expect = &self.specification["expect"];
        if expect["result"] == "fail" {
            return Ok(match outcome.status {
                Some(0) => vec!["the build succeeded but must fail".to_owned()],
                _ => with_log(missing_words(expect, &outcome.log), &outcome.log),
            });
        }
        if outcome.status != Some(0) {
            return Ok(vec![format!("the build failed with {:?}:\n{}", outcome.status, tail(&outcome.log))]);
        }
        let archive = outcome.archive().ok_or("the build was to leave an archive")?;
        let mut bad = missing_words(expect, &outcome.log);
        bad.extend(differences(expect, &Image::open(archive)?, &base_files(expect["base"].as_str())?)?);
        Ok(bad)
    }
}

/// The command line for the `build` object of a case. `case` is where relative paths of the case start.
pub fn build<'a>(
    farm: &'a Farm,
    specification: &Value,
    case: &Path,
    context: &Path,
) -> Result<Build<'a>, String> {
    let mut build = farm.build(context);
    if let Some(dockerfile) = specification["dockerfile"].as_str() {
        let directory = specification["dockerfile_dir"]
            .as_str()
            .map_or_else(|| context.to_owned(), |name| case.join(name));
        build = build.option("-f", directory.join(dockerfile));
    }
    if let Some(target) = specification["target"].as_str() {
        build = build.option("--target", target);
    }
    for (option, key) in [("--build-arg", "build_args"), ("--label", "labels")] {
        for (name, value) in specification[key].as_object().into_iter().flatten() {
            build = build.option(option, format!("{name}={}", value.as_str().unwrap_or_default()));
        }
    }
    for (name, secret) in specification["secrets"].as_object().into_iter().flatten() {
        build = build.option(
            "--secret",
            format!("id={name},src={}", secret_file(farm, case, name, secret)?.display()),
        );
    }
    for (name, place) in specification["contexts"].as_object().into_iter().flatten() {
        let place = place.as_str().unwrap_or_default();
        let place = place
            .strip_prefix("dir:")
            .map_or_else(|| place.to_owned(), |path| case.join(path).display().to_string());
        build = build.option("--build-context", format!("{name}={place}"));
    }
    for word in specification["options"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        build = build.argument(word);
    }
    if specification["no_cache"] == true {
        build = build.argument("--no-cache");
    }
    for stage in specification["no_cache_filter"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        build = build.option("--no-cache-filter", stage);
    }
    Ok(build)
}

fn secret_file(farm: &Farm, case: &Path, name: &str, secret: &Value) -> Result<PathBuf, String> {
    if let Some(file) = secret["file"].as_str() {
        return Ok(case.join(file));
    }
    let value =
        secret["value"].as_str().ok_or_else(|| format!("secret `{name}` has neither a value nor a file"))?;
    let file = farm.scratch(&format!("secret-{name}"));
    fs::write(&file, value).map_err(|error| error.to_string())?;
    Ok(file)
}

/// A copy that keeps links, modes, times, attributes and devices.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let status =
        Command::new("cp").arg("-a").arg(from).arg(to).status().map_err(|error| error.to_string())?;
    // A git checkout follows the umask of whoever made it; the cases mean the ordinary modes.
    let plain = Command::new("chmod")
        .args(["-R", "u=rwX,go=rX"])
        .arg(to)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() && plain.success() { Ok(()) } else { Err(format!("cannot copy {}", from.display())) }
}

/// Runs `setup.sh` of a copied case in its copied context.
pub fn prepare(case: &Path, context: &Path) -> Result<(), String> {
    let script = case.join("setup.sh");
    if !script.exists() {
        return Ok(());
    }
    let output = Command::new("bash")
        .arg("-eu")
        .arg(&script)
        .current_dir(context)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("setup.sh failed: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The end of a log, which is where the error is.
pub fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

fn with_log(mut bad: Vec<String>, log: &str) -> Vec<String> {
    if !bad.is_empty() {
        bad.push(tail(log));
    }
    bad
}
