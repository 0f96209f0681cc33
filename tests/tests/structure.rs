//! Holds the workspace to its own architecture: which crate may use which, where heavy dependencies may live, and how
//! large a file may grow. What is allowed is the data at the top; a change of architecture starts by changing it.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which crates of the workspace a crate may use. A crate that is not listed here does not belong to the workspace.
const MAY_USE: [(&str, Crates); 17] = [
    ("farm-model", Crates::Only(&[])),
    ("farm-tree", Crates::Only(&["farm-model"])),
    ("farm-dockerfile", Crates::Only(&["farm-model"])),
    ("farm-scheduler", Crates::Only(&["farm-model"])),
    ("farm-proto", Crates::Only(&["farm-model"])),
    ("farm-store", Crates::Only(&["farm-model", "farm-tree"])),
    ("farm-oci", Crates::Only(&["farm-model", "farm-store", "farm-tree"])),
    ("farm-executor", Crates::Only(&[])),
    ("farm-transport", Crates::Only(&["farm-model", "farm-proto"])),
    (
        "farm-exchange",
        Crates::Only(&["farm-model", "farm-proto", "farm-store", "farm-transport", "farm-tree"]),
    ),
    (
        "farm-coordinator",
        Crates::Only(&[
            "farm-dockerfile",
            "farm-exchange",
            "farm-model",
            "farm-oci",
            "farm-proto",
            "farm-scheduler",
            "farm-store",
            "farm-transport",
            "farm-tree",
        ]),
    ),
    (
        "farm-worker",
        Crates::Only(&[
            "farm-exchange",
            "farm-executor",
            "farm-model",
            "farm-oci",
            "farm-proto",
            "farm-store",
            "farm-transport",
            "farm-tree",
        ]),
    ),
    (
        "farm-client",
        Crates::Only(&["farm-dockerfile", "farm-model", "farm-proto", "farm-transport", "farm-tree"]),
    ),
    ("farm-tui", Crates::Only(&["farm-model"])),
    ("farm-cli", Crates::Any),
    ("farm-tests", Crates::Any),
    ("farm-benchmarks", Crates::Any),
];

/// Dependencies that one crate keeps from all others. `deny.toml` says the same of what comes in indirectly.
const FENCED: [(&str, &str); 7] = [
    ("rocksdb", "farm-store"),
    ("quinn", "farm-transport"),
    ("ratatui", "farm-tui"),
    ("libseccomp-sys", "farm-executor"),
    ("reqwest", "farm-oci"),
    ("anyhow", "farm-cli"),
    ("clap", "farm-cli"),
];

/// Programs beside `farm` read their command lines as it does.
const FENCE_GATES: [(&str, &str); 1] = [("clap", "farm-benchmarks")];

/// Crates whose results follow from their arguments alone, and what their sources must not name.
const PURE: [&str; 5] = ["model", "tree", "dockerfile", "scheduler", "proto"];
const IMPURE: [&str; 6] =
    ["std::fs", "TcpStream", "std::env::var", "std::process", "SystemTime::now", "Instant::now"];

/// The only crate with `unsafe`.
const UNSAFE: &str = "executor";

/// Crates of these names end up with everything in them.
const NO_NAMES: [&str; 4] = ["util", "utils", "common", "helpers"];

/// Lines of a file, unless its module doc says why it is longer.
const LONGEST_FILE: usize = 500;
/// How the module doc says it.
const WHY_LONG: &str = "one file because";

/// A set of the workspace's crates.
enum Crates {
    Only(&'static [&'static str]),
    Any,
}

/// One of the workspace's crates.
struct Package {
    name: String,
    folder: PathBuf,
    /// What it uses outside its tests.
    uses: BTreeSet<String>,
    /// And what its tests use.
    tests_use: BTreeSet<String>,
}

#[test]
fn every_crate_uses_only_what_the_table_allows() {
    let table: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    let packages = packages();
    let names: BTreeSet<_> = packages.iter().map(|package| package.name.clone()).collect();
    let mut problems = Vec::new();
    for package in &packages {
        let Some(allowed) = table.get(package.name.as_str()) else {
            problems.push(format!("`{}` is not in the table", package.name));
            continue;
        };
        let Crates::Only(allowed) = allowed else { continue };
        let used = package.uses.union(&package.tests_use).filter(|name| names.contains(*name));
        let forbidden = used.filter(|name| !allowed.contains(&name.as_str()));
        problems.extend(forbidden.map(|name| format!("`{}` must not use `{name}`", package.name)));
    }
    assert_eq!(problems, [""; 0]);
}

#[test]
fn heavy_dependencies_stay_behind_their_fences() {
    let mut problems = Vec::new();
    for package in packages() {
        for (dependency, owner) in FENCED {
            let allowed = package.name == owner || FENCE_GATES.contains(&(dependency, &package.name));
            if package.uses.contains(dependency) && !allowed {
                problems.push(format!("only `{owner}` may use `{dependency}`, not `{}`", package.name));
            }
        }
    }
    assert_eq!(problems, [""; 0]);
}

#[test]
fn crates_are_named_for_what_they_hold() {
    let mut problems = Vec::new();
    for package in packages() {
        let folder = package.folder.file_name().unwrap().to_str().unwrap();
        let word = package.name.strip_prefix("farm-").unwrap_or(&package.name);
        let named_after_folder = word == folder || (folder, word) == ("bench", "benchmarks");
        if !named_after_folder || NO_NAMES.contains(&word) {
            problems.push(format!("`{}` in `{folder}`", package.name));
        }
    }
    assert_eq!(problems, [""; 0]);
}

#[test]
fn long_files_say_why_they_are_long() {
    let mut problems = Vec::new();
    for path in sources(&root()) {
        let text = fs::read_to_string(&path).unwrap();
        let excused =
            text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains(WHY_LONG));
        let lines = text.lines().count();
        if lines > LONGEST_FILE && !excused {
            problems.push(format!("{} has {lines} lines", path.display()));
        }
    }
    assert_eq!(problems, [""; 0], "split them, or say `{WHY_LONG} …` in the module doc");
}

#[test]
fn only_the_executor_is_unsafe() {
    let mut problems = Vec::new();
    for path in sources(&root()) {
        if path.starts_with(root().join(UNSAFE)) {
            continue;
        }
        // A policy of a page of HTML has a word that begins alike.
        let text = fs::read_to_string(&path).unwrap().replace("unsafe-inline", "");
        let unsafe_lines = code(&text).filter(|(_, line)| words(line).any(|word| word == "unsafe"));
        problems.extend(unsafe_lines.map(|(number, _)| format!("{}:{number}", path.display())));
    }
    assert_eq!(problems, [""; 0]);
}

#[test]
fn pure_crates_touch_nothing_outside() {
    let mut problems = Vec::new();
    for folder in PURE {
        for path in sources(&root().join(folder).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            // Unit tests stand last in a file, or in a file of their own.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            for (number, line) in code(text) {
                let named = IMPURE.iter().filter(|name| line.contains(**name));
                problems.extend(named.map(|name| format!("{}:{number} names `{name}`", path.display())));
            }
        }
    }
    assert_eq!(problems, [""; 0]);
}

#[test]
fn modules_with_children_stand_beside_them() {
    let found: Vec<_> = sources(&root())
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "mod.rs"))
        .collect();
    assert_eq!(found, Vec::<PathBuf>::new(), "`foo.rs` beside `foo/`, not `foo/mod.rs`");
}

#[test]
fn the_ban_list_names_the_same_fences() {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    for (dependency, owner) in FENCED {
        let line = text.lines().find(|line| line.contains(&format!("crate = \"{dependency}\"")));
        let line = line.unwrap_or_else(|| panic!("deny.toml does not mention `{dependency}`"));
        assert!(
            line.contains(&format!("\"{owner}\"")),
            "deny.toml gives `{dependency}` to another crate: {line}"
        );
    }
}

/// The directory of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What cargo says about the workspace.
fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages: Vec<_> = metadata["packages"].as_array().unwrap().iter().map(Package::read).collect();
    assert!(packages.len() > 1, "the workspace is empty");
    packages
}

impl Package {
    fn read(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let dependencies = value["dependencies"].as_array().unwrap();
        let of = |for_tests: bool| {
            let wanted = dependencies.iter().filter(|dependency| (dependency["kind"] == "dev") == for_tests);
            wanted.map(|dependency| text(&dependency["name"])).collect()
        };
        let folder = PathBuf::from(text(&value["manifest_path"])).parent().unwrap().to_owned();
        Self { name: text(&value["name"]), folder, uses: of(false), tests_use: of(true) }
    }
}

/// Rust files below a directory that may not exist; hidden and built files are passed over.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !name.as_encoded_bytes().starts_with(b".") && name != "target" {
                    pending.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The numbered lines of a file without comments, near enough for finding words.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}

/// The identifiers of a line, without what stands in quotes.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let unquoted = line.split('"').step_by(2);
    unquoted.flat_map(|piece| piece.split(|character: char| !character.is_alphanumeric() && character != '_'))
}
