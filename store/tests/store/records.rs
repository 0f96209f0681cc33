//! Step records, canonical layers, and when they are not returned.

use farm_model::result::LayerRef;
use farm_model::{ContentDigest, Scope, StepDigest, StepResult, Usage};
use farm_store::{Canonical, Error};
use farm_tree::Mtime;

use crate::support::{Dir, TestStore, damage, metadata, new_store, text};

const STEP: StepDigest = StepDigest([7; 32]);

fn result(layer: Option<LayerRef>) -> StepResult {
    StepResult { layer, created: 42, usage: Usage::default() }
}

/// A recorded step whose layer is one large and one small file; `large` decides what is in it.
fn recorded(large: &[u8]) -> (TestStore, LayerRef) {
    let test = new_store();
    let tree = Dir::default()
        .with("large", text(&test.store, large))
        .with("small", text(&test.store, b"small"))
        .tree(&test.store);
    let layer = test.store.put_tree(&tree).unwrap();
    test.store.put_step(&Scope::main(), &STEP, &result(Some(layer)), b"preimage").unwrap();
    (test, layer)
}

#[test]
fn a_step_is_found_again_also_after_a_restart() {
    let (test, layer) = recorded(&vec![1; 200_000]);
    let test = test.reopen();
    assert_eq!(test.store.step(&Scope::main(), &STEP).unwrap(), Some(result(Some(layer))));
    assert_eq!(test.store.preimage(&Scope::main(), &STEP).unwrap().unwrap(), b"preimage");
    assert_eq!(test.store.step(&Scope::main(), &StepDigest([8; 32])).unwrap(), None);
}

#[test]
fn a_step_without_a_layer_needs_no_bytes() {
    let test = new_store();
    test.store.put_step(&Scope::main(), &STEP, &result(None), b"").unwrap();
    assert_eq!(test.store.step(&Scope::main(), &STEP).unwrap(), Some(result(None)));
}

#[test]
fn a_step_whose_bytes_are_lost_is_a_miss_until_they_are_back() {
    let (test, _) = recorded(&vec![1; 200_000]);
    let blob = farm_model::BlobDigest::of(&vec![1; 200_000]);
    damage(test.store.open_blob(&blob).unwrap().path().unwrap());
    assert!(!test.store.quarantine(&blob).unwrap());
    assert_eq!(test.store.step(&Scope::main(), &STEP).unwrap(), None);
    assert!(test.store.preimage(&Scope::main(), &STEP).unwrap().is_some());
    test.store.ingest(&mut vec![1; 200_000].as_slice(), None).unwrap();
    assert!(test.store.step(&Scope::main(), &STEP).unwrap().is_some());
}

#[test]
fn a_step_is_not_recorded_before_its_bytes() {
    let test = new_store();
    let absent = farm_model::BlobDigest::of(b"absent");
    let tree = Dir::default().with("f", crate::support::file(absent, metadata(0o644))).tree(&test.store);
    let layer = test.store.put_tree(&tree).unwrap();
    let put = test.store.put_step(&Scope::main(), &STEP, &result(Some(layer)), b"");
    assert!(matches!(put, Err(Error::IncompleteLayer(_))));
    assert_eq!(test.store.missing_blobs(&tree).unwrap(), [absent]);
}

#[test]
fn the_layer_that_came_first_stays_the_canonical_one() {
    let test = new_store();
    let (chain, content) = (ContentDigest([1; 32]), ContentDigest([2; 32]));
    let at = |time| {
        let mut root = metadata(0o755);
        root.mtime = Mtime(time);
        let tree = Dir { metadata: Some(root), ..Dir::default() }.tree(&test.store);
        Canonical { layer: test.store.put_tree(&tree).unwrap(), created: time }
    };
    let (first, second) = (at(1), at(2));
    assert_eq!(first.layer.content, second.layer.content);
    assert_eq!(test.store.canonical(&Scope::main(), &chain, &content).unwrap(), None);
    let put = |layer| test.store.put_canonical(&Scope::main(), &chain, &content, layer).unwrap();
    assert_eq!(put(first), first);
    assert_eq!(put(second), first);
    assert_eq!(test.store.canonical(&Scope::main(), &chain, &content).unwrap(), Some(first));
    let other = ContentDigest([3; 32]);
    assert_eq!(test.store.canonical(&Scope::main(), &other, &content).unwrap(), None);
}

#[test]
fn records_from_another_machine_are_checked() {
    use farm_tree::Records;
    let test = new_store();
    let tree = Dir::default().with("a", text(&test.store, b"x")).tree(&test.store);
    let digest = tree.root.record.digest;
    let bytes = test.store.record_bytes(&digest).unwrap().unwrap();

    let other = new_store();
    assert!(!other.store.put_record_bytes(&digest, &bytes[1..]).unwrap());
    assert!(!other.store.has_record(&digest).unwrap());
    assert!(matches!(other.store.entries(digest), Err(farm_tree::Error::MissingRecord(_))));
    assert!(matches!(other.store.put_tree(&tree), Err(Error::Tree(_))));
    assert!(other.store.put_record_bytes(&digest, &bytes).unwrap());
    assert_eq!(other.store.entries(digest).unwrap(), test.store.entries(digest).unwrap());
}
