//! What a case says about the image, compared with the image.
//!
//! The vocabulary is that of the public conformance cases. Hand-written cases may leave out what is ordinary: owner 0:0,
//! mode 0755 for directories and 0644 for files; content may be given as `text` in place of `sha256`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::filesystem::{Delta, Filesystem};
use crate::image::Image;

const CONFIG_KEYS: &[&str] = &[
    "Env",
    "Cmd",
    "Entrypoint",
    "User",
    "WorkingDir",
    "Labels",
    "ExposedPorts",
    "Volumes",
    "Healthcheck",
    "OnBuild",
    "StopSignal",
    "Shell",
];
const COMPARED: &[&str] = &["type", "mode", "uid", "gid", "linkname", "xattrs", "dev", "hardlinks"];

/// The differences between what `expect` (the object of that name in an `expect.json`) asks for and `image`.
pub fn differences(expect: &Value, image: &Image, base: &Filesystem) -> Result<Vec<String>, String> {
    let files = image.flatten()?;
    let mut bad: Vec<_> = image.problems().iter().map(|problem| format!("image: {problem}")).collect();
    if let Some(config) = expect.get("config") {
        compare_config(expect, config, &normal_config(&image.config), &mut bad);
    }
    if let Some(rootfs) = expect.get("rootfs") {
        compare_rootfs(rootfs, &files.since(base), &mut bad);
        compare_times(rootfs, &files, &mut bad);
    }
    compare_created(expect, image, &mut bad);
    compare_history(expect, image, &mut bad);
    Ok(bad)
}

/// The words of `error_contains` that a failed build's log lacks.
pub fn missing_words(expect: &Value, log: &str) -> Vec<String> {
    let log = log.to_lowercase();
    let words = expect["error_contains"].as_array().into_iter().flatten().filter_map(Value::as_str);
    words
        .filter(|word| !log.contains(&word.to_lowercase()))
        .map(|word| format!("the error lacks `{word}`"))
        .collect()
}

/// The inner config with empty values left out, and `/` as working directory the same as none.
fn normal_config(document: &Value) -> Map<String, Value> {
    let mut normal = Map::new();
    for key in CONFIG_KEYS {
        let value = &document["config"][*key];
        let left_out = is_empty(value) || (*key == "WorkingDir" && value == "/");
        if !left_out {
            normal.insert((*key).to_owned(), value.clone());
        }
    }
    if !is_empty(&document["author"]) {
        normal.insert("author".to_owned(), document["author"].clone());
    }
    normal
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn compare_config(expect: &Value, wanted: &Value, actual: &Map<String, Value>, bad: &mut Vec<String>) {
    let ignored = strings(&expect["config_ignore"]);
    let partial = expect["config_partial"] == true;
    let mut keys: BTreeSet<&str> =
        wanted.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    if !partial {
        keys.extend(actual.keys().map(String::as_str));
    }
    for key in keys.difference(&ignored) {
        let (want, have) = (wanted.get(*key), actual.get(*key));
        if want != have {
            bad.push(format!("config.{key}: expected {}, got {}", shown(want), shown(have)));
        }
    }
}

fn compare_rootfs(rootfs: &Value, delta: &Delta, bad: &mut Vec<String>) {
    let empty = Map::new();
    let entries = rootfs["entries"].as_object().unwrap_or(&empty);
    let (volatile, absent) = (strings(&rootfs["volatile"]), strings(&rootfs["absent"]));
    for (path, wanted) in entries {
        match delta.changed.get(path) {
            None => bad.push(format!("/{path}: missing, or as in the base")),
            Some(actual) if volatile.contains(path.as_str()) => {
                compare_key(path, "type", wanted.get("type"), actual, bad);
            }
            Some(actual) => compare_entry(path, wanted, actual, bad),
        }
    }
    if rootfs["exact"] != false {
        let extra = delta
            .changed
            .iter()
            .filter(|(path, _)| !entries.contains_key(*path) && !volatile.contains(path.as_str()));
        bad.extend(extra.map(|(path, view)| format!("/{path}: unexpected {}", shown(view.get("type")))));
        let gone = delta.absent.iter().filter(|path| !absent.contains(path.as_str()));
        bad.extend(gone.map(|path| format!("/{path}: unexpectedly gone from the base")));
    }
    let kept = absent.iter().filter(|path| !delta.absent.contains(**path));
    bad.extend(kept.map(|path| format!("/{path}: should be gone from the base")));
}

fn compare_entry(path: &str, wanted: &Value, actual: &Map<String, Value>, bad: &mut Vec<String>) {
    let wanted = with_defaults(wanted);
    for key in COMPARED {
        compare_key(path, key, wanted.get(*key), actual, bad);
    }
    // A digest says all there is to say; the text beside it is for the reader.
    let content = if wanted.contains_key("sha256") { "sha256" } else { "text" };
    if wanted.contains_key(content) && wanted.get(content) != actual.get(content) {
        let (want, have) = (shown(wanted.get("text")), shown(actual.get("text")));
        bad.push(format!("/{path}: expected the content {want}, got {have}"));
    }
}

fn compare_key(
    path: &str,
    key: &str,
    wanted: Option<&Value>,
    actual: &Map<String, Value>,
    bad: &mut Vec<String>,
) {
    if wanted != actual.get(key) {
        bad.push(format!("/{path}: {key} expected {}, got {}", shown(wanted), shown(actual.get(key))));
    }
}

fn with_defaults(wanted: &Value) -> Map<String, Value> {
    let mut full = wanted.as_object().cloned().unwrap_or_default();
    let kind = full.entry("type").or_insert_with(|| json!("file")).clone();
    for owner in ["uid", "gid"] {
        full.entry(owner).or_insert_with(|| json!(0));
    }
    if kind != "symlink" {
        full.entry("mode").or_insert_with(|| json!(if kind == "dir" { "0755" } else { "0644" }));
    }
    full
}

fn compare_times(rootfs: &Value, files: &Filesystem, bad: &mut Vec<String>) {
    let wanted: BTreeMap<_, _> = rootfs["mtimes"].as_object().into_iter().flatten().collect();
    for (path, seconds) in wanted {
        if let Some(inode) = files.inode(path)
            && seconds.as_u64() != Some(inode.mtime)
        {
            bad.push(format!("/{path}: mtime {}, expected {seconds}", inode.mtime));
        }
    }
}

fn compare_created(expect: &Value, image: &Image, bad: &mut Vec<String>) {
    let Some(created) = expect.get("created").filter(|value| !value.is_null()) else { return };
    if image.config["created"] != *created {
        bad.push(format!("created {}, expected {created}", image.config["created"]));
    }
    let history = image.config["history"].as_array().cloned().unwrap_or_default();
    for (index, wanted) in expect["history_created"].as_array().into_iter().flatten().enumerate() {
        let actual = history.get(index).map(|entry| &entry["created"]);
        if actual != Some(wanted) {
            bad.push(format!("history[{index}].created {}, expected {wanted}", shown(actual)));
        }
    }
}

/// `layer_count`, and `empty_layers`: whether each history entry says that it made no layer.
fn compare_history(expect: &Value, image: &Image, bad: &mut Vec<String>) {
    if let Some(layers) = expect.get("layer_count").and_then(Value::as_u64)
        && image.layers.len() as u64 != layers
    {
        bad.push(format!("{} layers, expected {layers}", image.layers.len()));
    }
    let Some(wanted) = expect.get("empty_layers") else { return };
    let history = image.config["history"].as_array().cloned().unwrap_or_default();
    let actual: Vec<_> = history.iter().map(|entry| entry["empty_layer"] == true).collect();
    if json!(actual) != *wanted {
        bad.push(format!("history says empty layers {actual:?}, expected {wanted}"));
    }
}

fn strings(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Blobs, Layer};

    fn compared(expect: &Value, layer: Layer, config: &Value) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        Blobs::of(&[layer], config).write_layout(directory.path(), "t").unwrap();
        let image = Image::open(directory.path()).unwrap();
        let mut base = Filesystem::default();
        base.apply(&Layer::new().file("base", "b").bytes()).unwrap();
        differences(expect, &image, &base).unwrap()
    }

    #[test]
    fn an_image_that_is_as_expected_has_no_differences() {
        let expect = json!({
            "config": { "Env": ["A=b"] },
            "rootfs": { "entries": { "d": { "type": "dir" }, "d/f": { "text": "x" } }, "mtimes": { "d/f": 1_610_612_736 } },
        });
        let layer = Layer::new().file("base", "b").directory("d").file("d/f", "x");
        assert_eq!(
            compared(&expect, layer, &json!({ "Env": ["A=b"], "WorkingDir": "/", "Labels": {} })),
            [""; 0]
        );
    }

    #[test]
    fn what_is_missing_extra_and_different_is_named() {
        let expect =
            json!({ "config": { "User": "a" }, "rootfs": { "entries": { "f": { "text": "x" }, "g": {} } } });
        let bad = compared(&expect, Layer::new().file("f", "y").file("extra", ""), &json!({ "Cmd": ["c"] }));
        let all = bad.join("\n");
        for part in [
            "config.User",
            "config.Cmd",
            "/f: expected the content",
            "/g: missing",
            "/extra: unexpected",
            "/base: unexpectedly gone",
        ] {
            assert!(all.contains(part), "{part} is not in:\n{all}");
        }
        assert_eq!(bad.len(), 6);
    }

    #[test]
    fn an_expectation_may_be_partial() {
        let expect = json!({
            "config": { "User": "a" }, "config_partial": true,
            "rootfs": { "exact": false, "entries": {}, "absent": ["base"] },
        });
        assert_eq!(
            compared(&expect, Layer::new().file("extra", ""), &json!({ "User": "a", "Cmd": ["c"] })),
            [""; 0]
        );
    }

    #[test]
    fn a_volatile_entry_is_held_to_its_type_only() {
        let expect = json!({ "rootfs": { "entries": { "f": { "type": "file", "sha256": "0", "mode": "0600" } }, "volatile": ["f"] } });
        assert_eq!(compared(&expect, Layer::new().file("base", "b").file("f", "y"), &json!({})), [""; 0]);
    }

    #[test]
    fn errors_are_searched_without_regard_to_case() {
        let expect = json!({ "error_contains": ["Not Found", "nope"] });
        assert_eq!(missing_words(&expect, "error: `x` not found"), ["the error lacks `nope`"]);
    }
}
