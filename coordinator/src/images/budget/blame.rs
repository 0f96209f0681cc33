//! What makes an image too heavy: the layers that weigh or grew most, the paths in them, and what could be done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use farm_model::decimal_size as size;
use farm_store::Store;
use farm_tree::heaviest::Heavy;
use farm_tree::list::layer_of;
use farm_tree::{Node, Tree, path, resolve};

use super::{Allowed, Candidate, Layer};
use crate::Error;
use crate::images::Record;

/// Layers that are told of.
const LAYERS: usize = 5;
/// Paths that are told of in each.
const PATHS: usize = 3;
/// Differences that are looked at for paths that grew.
const DIFFERENCES: usize = 500;
/// Longer instructions are cut.
const LONGEST: usize = 72;
/// Directories that no image needs: what fills them, and how it stays out.
const SPARE: [(&str, &str); 9] = [
    ("var/lib/apt/lists", "--mount=type=cache,target=/var/lib/apt"),
    ("var/cache/apt", "--mount=type=cache,target=/var/cache/apt"),
    ("var/cache/apk", "--mount=type=cache,target=/var/cache/apk"),
    ("var/cache/dnf", "--mount=type=cache,target=/var/cache/dnf"),
    ("root/.cache", "--mount=type=cache,target=/root/.cache"),
    ("root/.npm", "--mount=type=cache,target=/root/.npm"),
    ("root/.cargo/registry", "--mount=type=cache,target=/root/.cargo/registry"),
    ("root/go/pkg", "--mount=type=cache,target=/root/go/pkg"),
    ("tmp", "--mount=type=tmpfs,target=/tmp"),
];
/// Less than this part of an image is not worth a word.
const WORTH: u64 = 50;

/// The image weighs more than `limit`.
pub(super) fn too_large(store: &Store, image: &Candidate, limit: u64) -> Result<Error, Error> {
    let bytes = image.bytes();
    let mut message = format!(
        "the image is too large: {} unpacked, {} more than `--max-size {}`\n",
        size(bytes),
        size(bytes.saturating_sub(limit)),
        size(limit),
    );
    let mut layers: Vec<(usize, &Layer)> = image.layers.iter().enumerate().collect();
    layers.sort_by_key(|(_, layer)| std::cmp::Reverse(layer.bytes));
    message.push_str("\n      SIZE  LAYER, by what the image shows of it\n");
    for (number, layer) in layers.iter().take(LAYERS).filter(|(_, layer)| layer.bytes > 0) {
        let _infallible = writeln!(message, "{:>10}  {}", size(layer.bytes), title(layer));
        for Heavy { path, extent } in heavy(store, image, *number)? {
            let _infallible =
                writeln!(message, "{:>16}  {}", size(extent.bytes), shown(&path, extent.directory));
        }
    }
    if layers.len() > LAYERS {
        let rest = layers[LAYERS..].iter().fold(0_u64, |sum, (_, layer)| sum.saturating_add(layer.bytes));
        let _infallible = writeln!(message, "{:>10}  {} other layers", size(rest), layers.len() - LAYERS);
    }
    let hint = advice(store, image, "--max-size");
    Ok(Error::OverBudget { message, hint })
}

/// The image grew by more than is `allowed` against the one that is called `name`.
pub(super) fn grown(
    store: &Store,
    image: &Candidate,
    name: &str,
    before: &Record,
    allowed: Allowed,
) -> Result<Error, Error> {
    let (old, new) = (before.bytes, image.bytes());
    let mut message = format!(
        "the image grew too much: {} unpacked, {} more than `{name}` has now; `--max-growth {allowed}` allows {}\n",
        size(new),
        size(new.saturating_sub(old)),
        size(allowed.bytes),
    );
    // A predecessor that cannot be looked at any more leaves the sizes.
    if let Ok(before) = Candidate::of(store, before) {
        message.push_str("\n    CHANGE      SIZE  LAYER\n");
        let paths = paths(store, &before, image)?;
        for (change, number) in changes(&before, image).into_iter().take(LAYERS) {
            let (bytes, title) = match number {
                Side::After(number) => (image.layers[number].bytes, title(&image.layers[number])),
                Side::Before(number) => (0, format!("{} (gone)", title(&before.layers[number]))),
            };
            let _infallible = writeln!(message, "{:>10}  {:>8}  {title}", signed(change), size(bytes));
            let Side::After(number) = number else { continue };
            for (change, path) in paths.get(&number).into_iter().flatten().take(PATHS) {
                let _infallible = writeln!(message, "{:>16}          {path}", signed(*change));
            }
        }
    }
    let hint = advice(store, image, "--max-growth");
    Ok(Error::OverBudget { message, hint })
}

/// A layer of one of two images.
#[derive(Clone, Copy)]
enum Side {
    Before(usize),
    After(usize),
}

/// How much each layer that is not in both images grew, the most first. Layers of the same instruction are compared with
/// each other.
fn changes(before: &Candidate, after: &Candidate) -> Vec<(i64, Side)> {
    let digests = |image: &Candidate| image.layers.iter().map(|layer| layer.digest).collect::<BTreeSet<_>>();
    let (old, new) = (digests(before), digests(after));
    let mut waiting: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, layer) in before.layers.iter().enumerate().rev() {
        if !new.contains(&layer.digest) {
            waiting.entry(&layer.made).or_default().push(number);
        }
    }
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut changes = Vec::new();
    for (number, layer) in after.layers.iter().enumerate() {
        if old.contains(&layer.digest) {
            continue;
        }
        let former = waiting.get_mut(layer.made.as_str()).and_then(Vec::pop);
        let bytes = former.and_then(|number| before.layers.get(number)).map_or(0, |former| former.bytes);
        changes.push((signed(layer.bytes).saturating_sub(signed(bytes)), Side::After(number)));
    }
    for number in waiting.into_values().flatten() {
        changes.push((-signed(before.layers[number].bytes), Side::Before(number)));
    }
    changes.retain(|(change, _)| *change != 0);
    changes.sort_by_key(|(change, _)| std::cmp::Reverse(*change));
    changes
}

/// The paths that grew most in each layer of `after`.
fn paths(
    store: &Store,
    before: &Candidate,
    after: &Candidate,
) -> Result<BTreeMap<usize, Vec<(i64, String)>>, Error> {
    let found = farm_tree::compare(store, &before.merged, &after.merged, DIFFERENCES)?;
    let mut paths: BTreeMap<usize, Vec<(i64, String)>> = BTreeMap::new();
    for difference in found.list {
        let bytes = |extent: Option<farm_tree::compare::Extent>| extent.map_or(0, |extent| extent.bytes);
        let change = bytes(difference.after).saturating_sub(bytes(difference.before));
        if change == 0 {
            continue;
        }
        if let Some(number) = layer_of(store, &after.trees, &difference.path)? {
            let directory = difference.after.is_some_and(|extent| extent.directory);
            let path = shown(&difference.path, directory);
            let change = i64::try_from(change).unwrap_or(i64::MAX);
            paths.entry(number).or_default().push((change, path));
        }
    }
    Ok(paths)
}

/// The paths that weigh most in a layer, without files that later layers hide.
fn heavy(store: &Store, image: &Candidate, number: usize) -> Result<Vec<Heavy>, Error> {
    let Some(tree) = image.trees.get(number) else { return Ok(Vec::new()) };
    let mut heavy = Vec::new();
    for found in farm_tree::heaviest(store, tree, PATHS * 3)? {
        let top = layer_of(store, &image.trees, &found.path)?;
        let seen = resolve::lookup(store, &image.merged, &found.path).is_ok_and(|there| there.node.is_some());
        if seen && (found.extent.directory || top == Some(number)) {
            heavy.push(found);
        }
    }
    heavy.truncate(PATHS);
    Ok(heavy)
}

/// What could be done, the most telling first.
fn advice(store: &Store, image: &Candidate, option: &str) -> String {
    let bytes = image.bytes();
    let mut advice = Vec::new();
    for (place, mount) in SPARE {
        let there = weight(store, &image.merged, place);
        if there > 0 && there.saturating_mul(WORTH) >= bytes {
            advice.push(format!("keep {} of `/{place}` out with `RUN {mount}`", size(there)));
        }
    }
    let base = image.layers.iter().filter(|layer| layer.base);
    let base = base.fold(0_u64, |sum, layer| sum.saturating_add(layer.bytes));
    if base.saturating_mul(2) > bytes {
        advice.push(format!("start the last stage from a smaller base than this one of {}", size(base)));
    }
    advice.push("build in one stage and copy only what is needed into the last".to_owned());
    advice.push(format!("or raise `{option}`"));
    advice.join("; ")
}

/// Bytes beneath a directory of the image; zero where there is none.
fn weight(store: &Store, merged: &Tree, place: &str) -> u64 {
    let Ok(found) = resolve::lookup(store, merged, place.as_bytes()) else { return 0 };
    match found.node {
        Some(Node::Directory(directory)) => directory.record.bytes,
        Some(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | None => 0,
    }
}

fn title(layer: &Layer) -> String {
    let line = layer.made.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = if line.is_empty() { layer.digest.to_string() } else { line };
    let cut = line.chars().count() > LONGEST;
    let line = if cut { line.chars().take(LONGEST - 1).chain(['…']).collect() } else { line };
    if layer.base { format!("base image: {line}") } else { line }
}

fn shown(path: &[u8], directory: bool) -> String {
    format!("{}{}", path::absolute(path), if directory { "/" } else { "" })
}

fn signed(change: i64) -> String {
    format!("{}{}", if change < 0 { '-' } else { '+' }, size(change.unsigned_abs()))
}
