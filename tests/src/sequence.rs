//! Several builds in a row from one working copy, and what their results must have in common.
//!
//! `steps` are contexts with their build; `asserts` are lists of a word and its operands: `ok`, `fail` (step), `text` (path,
//! step, content), `absent` (path, step), `same`, `differ` (path, step, step), `same_image`, `same_layers`,
//! `same_last_layer` (step, step), `cached` and `ran` (text of a step's name, step).

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::case::{build, copy, prepare, tail};
use crate::farm::{Farm, Outcome};
use crate::filesystem::Filesystem;
use crate::image::Image;

struct Step {
    outcome: Outcome,
    result: Option<(Image, Filesystem)>,
}

/// Runs a sequence; what is wrong, or nothing.
pub fn run(case: &Path, specification: &Value, farm: &Farm, work: &Path) -> Result<Vec<String>, String> {
    let mut steps = Vec::new();
    for step in specification["steps"].as_array().into_iter().flatten() {
        let context = step["context"].as_str().ok_or("a step without a context")?;
        // One place over all steps, like a developer's working copy.
        let place = work.join("work");
        if place.exists() {
            fs::remove_dir_all(&place).map_err(|error| error.to_string())?;
        }
        copy(&case.join(context), &place)?;
        prepare(case, &place)?;
        let outcome = build(farm, &step["build"], case, &place)?.run();
        steps.push(Step { result: read(&outcome)?, outcome });
    }
    let asserts = specification["asserts"].as_array().ok_or("a sequence without asserts")?;
    asserts.iter().filter_map(|assert| check(assert, &steps).transpose()).collect()
}

fn read(outcome: &Outcome) -> Result<Option<(Image, Filesystem)>, String> {
    if outcome.status != Some(0) {
        return Ok(None);
    }
    let image = Image::open(outcome.archive().ok_or("the build was to leave an archive")?)?;
    let files = image.flatten()?;
    Ok(Some((image, files)))
}

/// What is wrong with one assertion; an error when the assertion itself makes no sense.
fn check(assert: &Value, steps: &[Step]) -> Result<Option<String>, String> {
    let number = |index: usize| assert[index].as_u64().and_then(|step| usize::try_from(step).ok());
    let step = |index: usize| {
        number(index).and_then(|step| steps.get(step)).ok_or_else(|| format!("{assert}: no such step"))
    };
    let word = |index: usize| assert[index].as_str().ok_or_else(|| format!("{assert}: text expected"));
    let files = |step: &'_ Step| step.result.as_ref().map(|(_, files)| files.clone()).unwrap_or_default();
    let content =
        |index: usize| Ok::<_, String>(files(step(index)?).inode(word(1)?).map(|inode| inode.bytes.clone()));
    let ids = |index: usize| Ok::<_, String>(step(index)?.result.as_ref().map(|(image, _)| image.diff_ids()));
    let holds = match word(0)? {
        "ok" => step(1)?.outcome.status == Some(0),
        "fail" => step(1)?.outcome.status != Some(0),
        "text" => content(2)?.as_deref() == Some(word(3)?.as_bytes()),
        "absent" => step(2)?.result.is_some() && content(2)?.is_none(),
        "same" => content(2)?.is_some() && content(2)? == content(3)?,
        "differ" => content(2)?.is_some() && content(3)?.is_some() && content(2)? != content(3)?,
        "same_image" | "same_layers" => ids(1)?.is_some() && ids(1)? == ids(2)?,
        "same_last_layer" => ids(1)?.is_some() && last(ids(1)?) == last(ids(2)?),
        "cached" => state_of(&step(2)?.outcome.log, word(1)?) == Some(State::Cached),
        "ran" => state_of(&step(2)?.outcome.log, word(1)?) == Some(State::Ran),
        other => return Err(format!("unknown assertion `{other}`")),
    };
    Ok((!holds).then(|| explanation(assert, steps)))
}

/// Whether a step of plain progress was answered from the cache.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Its line says CACHED.
    Cached,
    /// It did its work, and its time was printed.
    Ran,
}

/// What plain progress says about the step whose name contains `name`; `None` if there is no such step.
pub fn state_of(log: &str, name: &str) -> Option<State> {
    let line = log.lines().find(|line| line.starts_with('#') && line.contains(name))?;
    let number = line.split_whitespace().next()?;
    let about = |line: &&str| line.split_whitespace().next() == Some(number);
    let cached = log.lines().filter(about).any(|line| line.contains("CACHED"));
    Some(if cached { State::Cached } else { State::Ran })
}

fn last(ids: Option<Vec<String>>) -> Option<String> {
    ids.and_then(|ids| ids.last().cloned())
}

fn explanation(assert: &Value, steps: &[Step]) -> String {
    let logs: Vec<_> = steps
        .iter()
        .enumerate()
        .map(|(at, step)| format!("--- step {at}: {:?}\n{}", step.outcome.status, tail(&step.outcome.log)))
        .collect();
    format!("does not hold: {assert}\n{}", logs.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "#1 [1/2] FROM busybox\n#1 CACHED\n#2 [2/2] RUN date\n#2 0.1 Mon\n#2 DONE 0.2s\n";

    #[test]
    fn the_state_of_a_step_is_read_from_its_own_lines() {
        assert_eq!(state_of(LOG, "FROM busybox"), Some(State::Cached));
        assert_eq!(state_of(LOG, "RUN date"), Some(State::Ran));
        assert_eq!(state_of(LOG, "RUN other"), None);
    }
}
