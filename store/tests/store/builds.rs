//! Event logs, epochs, families of steps, and trees on their way between machines.

use farm_model::result::LayerRef;
use farm_model::{BlobDigest, BuildId, ContentDigest, LayerDigest, Scope, StepDigest, StepResult, Usage};
use farm_store::{Bytes, Canonical, Error, StepRecord, Sync};
use farm_tree::{Entry, Node, Records, Tree};

use crate::support::{Dir, Item, file, metadata, new_store, text};

const BUILD: BuildId = BuildId([255; 8]);
const OTHER: BuildId = BuildId([1; 8]);
const STEP: StepDigest = StepDigest([7; 32]);
const FAMILY: [u8; 32] = [9; 32];

fn events(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers.map(|number| format!("event {number}").into_bytes()).collect()
}

#[test]
fn a_log_is_read_from_any_number_on_and_survives_a_restart() {
    let test = new_store();
    assert_eq!(test.store.event_count(&BUILD).unwrap(), 0);
    test.store.append_events(&OTHER, 0, &events(0..3), b"other", Sync::Now).unwrap();
    test.store.append_events(&BUILD, 0, &events(0..300), b"early", Sync::Later).unwrap();
    test.store.append_events(&BUILD, 300, &events(300..310), b"summary", Sync::Now).unwrap();
    let test = test.reopen();
    assert_eq!(test.store.event_count(&BUILD).unwrap(), 310);
    assert_eq!(test.store.event_count(&OTHER).unwrap(), 3);
    let read = test.store.events(&BUILD, 298, 4).unwrap();
    let expected: Vec<_> = (298..302).zip(events(298..302)).collect();
    assert_eq!(read, expected);
    assert_eq!(
        test.store.events(&OTHER, 1, 100).unwrap().len(),
        2,
        "a log ends where the next build's begins"
    );
    let listed = |mut builds: Vec<(BuildId, Vec<u8>)>| {
        builds.sort_unstable();
        builds
    };
    let other = (OTHER, b"other".to_vec());
    assert_eq!(listed(test.store.builds().unwrap()), [other.clone(), (BUILD, b"summary".to_vec())]);

    test.store.remove_build(&BUILD).unwrap();
    assert_eq!(test.store.event_count(&BUILD).unwrap(), 0);
    assert!(test.store.events(&BUILD, 0, 10).unwrap().is_empty());
    assert_eq!(test.store.builds().unwrap(), [other]);
    assert_eq!(test.store.event_count(&OTHER).unwrap(), 3);
}

#[test]
fn epochs_only_grow() {
    let test = new_store();
    let first = test.store.next_epoch().unwrap();
    let second = test.store.next_epoch().unwrap();
    let test = test.reopen();
    let third = test.store.next_epoch().unwrap();
    assert!(first < second && second < third);
}

#[test]
fn durations_are_kept_by_family() {
    let test = new_store();
    test.store.put_duration(&FAMILY, 5).unwrap();
    test.store.put_duration(&FAMILY, 7).unwrap();
    assert_eq!(test.store.durations().unwrap(), [(FAMILY, 7)]);
}

#[test]
fn a_layer_on_another_machine_has_a_record_but_is_no_hit_here() {
    let test = new_store();
    let absent = BlobDigest::of(b"absent");
    let tree = Dir::default().with("f", file(absent, metadata(0o644))).tree(&test.store);
    let result = StepResult { layer: Some(tree.layer_ref()), created: 1, usage: Usage::default() };
    let scope = Scope::main();
    let record = StepRecord {
        scope: &scope,
        step: &STEP,
        result: &result,
        bytes: Bytes::Elsewhere,
        preimage: b"preimage",
        witness: b"witness",
        evidence: &[LayerDigest([3; 32])],
        family: Some(&FAMILY),
    };
    assert!(matches!(test.store.record_step(&record), Err(Error::MissingTree(_))));
    test.store.put_tree(&tree).unwrap();
    test.store.record_step(&record).unwrap();
    assert_eq!(test.store.step(&scope, &STEP).unwrap(), None);
    assert_eq!(test.store.step_record(&scope, &STEP).unwrap(), Some(result));
    assert_eq!(test.store.last_step(&scope, &FAMILY).unwrap(), Some(STEP));
    assert_eq!(test.store.last_step(&scope, &[0; 32]).unwrap(), None);
    assert_eq!(test.store.witness(&scope, &STEP).unwrap().unwrap(), b"witness");
    assert_eq!(test.store.preimage(&scope, &STEP).unwrap().unwrap(), b"preimage");
    assert!(test.store.layer_digests().unwrap().is_empty());
    test.store.ingest(&mut b"absent".as_slice(), None).unwrap();
    assert!(test.store.step(&scope, &STEP).unwrap().is_some());
    assert_eq!(test.store.layer_digests().unwrap(), [tree.layer_digest()]);
}

#[test]
fn a_canonical_layer_may_be_on_another_machine() {
    let test = new_store();
    let tree = Dir::default().with("f", file(BlobDigest::of(b"x"), metadata(0o644))).tree(&test.store);
    let (chain, content, scope) = (ContentDigest([1; 32]), ContentDigest([2; 32]), Scope::main());
    let first = Canonical { layer: test.store.put_tree(&tree).unwrap(), created: 1 };
    let other = LayerRef { digest: LayerDigest([5; 32]), content: first.layer.content };
    let second = Canonical { layer: other, created: 2 };
    let put = |layer, elsewhere: bool| {
        test.store.put_canonical_where(&scope, &chain, &content, layer, &|_| elsewhere).unwrap()
    };
    assert_eq!(put(first, true), first);
    assert_eq!(put(second, true), first);
    assert_eq!(test.store.canonical(&scope, &chain, &content).unwrap(), None);
    assert_eq!(put(second, false), second, "bytes that are nowhere do not count");
}

#[test]
fn a_tree_comes_from_another_machine_after_its_records() {
    let (from, to) = (new_store(), new_store());
    let inner = Dir::default().with("f", text(&from.store, b"x"));
    let tree = Dir::default().with("d", Item::Dir(inner)).tree(&from.store);
    let layer = from.store.put_tree(&tree).unwrap();
    let bytes = from.store.encoded_tree(&layer.digest).unwrap().unwrap();
    assert!(matches!(to.store.put_encoded_tree(&bytes), Err(Error::Tree(_))));
    let decoded = Tree::decode(&bytes).unwrap();
    let mut rounds = 0;
    loop {
        let missing = to.store.missing_records(&decoded).unwrap();
        if missing.is_empty() {
            break;
        }
        for digest in missing {
            let record = from.store.record_bytes(&digest).unwrap().unwrap();
            assert!(to.store.put_record_bytes(&digest, &record).unwrap());
        }
        rounds += 1;
    }
    assert_eq!(rounds, 2);
    assert_eq!(to.store.put_encoded_tree(&bytes).unwrap(), layer);
    assert_eq!(to.store.encoded_tree(&layer.digest).unwrap().unwrap(), bytes);
    assert!(to.store.put_encoded_tree(&bytes[1..]).is_err());
}

#[test]
fn a_tree_that_lies_about_its_records_is_refused() {
    let test = new_store();
    let inner = Dir::default().with("f", text(&test.store, b"x"));
    let mut tree = Dir::default().with("d", Item::Dir(inner)).tree(&test.store);
    let mut entries = (*test.store.entries(tree.root.record.digest).unwrap()).clone();
    for entry in entries.values_mut() {
        if let Entry::Node(Node::Directory(directory)) = entry {
            directory.record.bytes = 12;
        }
    }
    tree.root.record = test.store.put(entries).unwrap();
    assert!(matches!(test.store.put_encoded_tree(&tree.encode()), Err(Error::Tree(_))));
    assert!(test.store.tree(&tree.layer_digest()).unwrap().is_none());
}
