//! Merging layers gives what overlayfs shows, and what it records of a change is normalised to that change.

use std::path::Path;
use std::process::Command;

use farm_tree::{MemoryRecords, Tree, merge_all, normalise};
use proptest::prelude::*;

use crate::{disk, require_root, trees};

/// A mounted overlay, unmounted when dropped.
struct Overlay<'a>(&'a Path);

impl<'a> Overlay<'a> {
    /// Mounts `lowers`, the lowest first, at `target`.
    fn mount(target: &'a Path, lowers: &[&Path]) -> Self {
        let lowers: Vec<_> = lowers.iter().rev().map(|lower| lower.to_str().unwrap()).collect();
        let options = format!("ro,lowerdir={}", lowers.join(":"));
        let mut command = Command::new("mount");
        let status =
            command.args(["-t", "overlay", "farm-test", "-o", &options]).arg(target).status().unwrap();
        assert!(status.success(), "overlayfs is needed for this test");
        Self(target)
    }
}

impl Drop for Overlay<'_> {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0).status().unwrap().success());
    }
}

fn overlaid(records: &MemoryRecords, layers: &[Tree]) -> Tree {
    let scratch = disk::scratch();
    let target = scratch.path().join("merged");
    std::fs::create_dir(&target).unwrap();
    // Two lowers are the least that mounts without an upper directory.
    let mut lowers = vec![scratch.path().join("bottom"), scratch.path().join("empty")];
    for lower in &lowers {
        std::fs::create_dir(lower).unwrap();
    }
    for (number, layer) in layers.iter().enumerate() {
        let lower = scratch.path().join(number.to_string());
        std::fs::create_dir(&lower).unwrap();
        disk::write(records, layer, &lower);
        lowers.push(lower);
    }
    let lowers: Vec<_> = lowers.iter().map(std::path::PathBuf::as_path).collect();
    let _mounted = Overlay::mount(&target, &lowers);
    disk::scan(records, &target)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merged_layers_are_what_an_overlay_shows(
        first in trees::any_layer(0), second in trees::any_layer(1), third in trees::any_layer(2),
    ) {
        require_root();
        let records = MemoryRecords::new();
        let layers = [first, second, third].map(|steps| trees::build(&records, &steps));
        let merged = merge_all(&records, &layers).unwrap();
        let shown = overlaid(&records, &layers);
        prop_assert_eq!(merged.root.record.marks, 0);
        prop_assert_eq!(trees::canonical(&records, &merged), trees::canonical(&records, &shown));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_normalised_layer_changes_the_parent_as_the_whole_one_does(
        first in trees::any_layer(0), second in trees::any_layer(1), again in trees::any_layer(0),
    ) {
        let records = MemoryRecords::new();
        let parent = merge_all(&records, &[trees::build(&records, &first)]).unwrap();
        for steps in [second, again] {
            let layer = trees::build(&records, &steps);
            let whole = merge_all(&records, [&parent, &layer]).unwrap();
            let kept = normalise(&records, &parent, &layer).unwrap();
            let merged = match &kept {
                Some(kept) => merge_all(&records, [&parent, kept]).unwrap(),
                None => parent.clone(),
            };
            prop_assert_eq!(&merged, &whole);
            if let Some(kept) = kept {
                prop_assert_eq!(normalise(&records, &parent, &kept).unwrap(), Some(kept));
            }
        }
        let itself = normalise(&records, &parent, &parent).unwrap();
        prop_assert!(itself.is_none() || parent.root.record.linked > 0);
    }
}
