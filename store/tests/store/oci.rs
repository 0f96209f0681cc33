//! The border's tables.

use std::io::Write;

use farm_model::OciDigest;
use farm_store::{Error, Packed, Tag};

use crate::support::{Dir, damage, new_store, regular_files, text};

/// sha256 of nothing.
const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// sha256 of `abc`, FIPS 180-2, appendix B.1.
const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn oci_blobs_are_verified_on_their_way_in() {
    let test = new_store();
    let (empty, abc): (OciDigest, OciDigest) = (EMPTY.parse().unwrap(), ABC.parse().unwrap());
    assert_eq!(test.store.ingest_oci_blob(&mut &b"abc"[..], &abc, 3).unwrap(), 3);
    assert_eq!(test.store.ingest_oci_blob(&mut &b""[..], &empty, 0).unwrap(), 0);
    assert_eq!(test.store.read_oci_blob(&abc, 10).unwrap().unwrap(), b"abc");
    assert!(matches!(test.store.read_oci_blob(&abc, 2), Err(Error::TooLarge { .. })));

    let other = OciDigest([1; 32]);
    let result = test.store.ingest_oci_blob(&mut &b"abc"[..], &other, 3);
    assert!(matches!(result, Err(Error::OciMismatch { .. })));
    let result = test.store.ingest_oci_blob(&mut &b"abcd"[..], &other, 3);
    assert!(matches!(result, Err(Error::TooLarge { .. })));
    assert_eq!(test.store.has_oci_blob(&other).unwrap(), None);
    assert!(regular_files(&test.store.root().join("tmp")).is_empty());
}

#[test]
fn a_written_oci_blob_is_named_by_what_was_written() {
    let test = new_store();
    let mut writer = test.store.oci_writer().unwrap();
    writer.write_all(b"a").unwrap();
    writer.write_all(b"bc").unwrap();
    let abc: OciDigest = ABC.parse().unwrap();
    assert_eq!(writer.finish().unwrap(), (abc, 3));
    let path = test.store.oci_blob_path(&abc).unwrap().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    damage(&path);
    assert_eq!(test.store.read_oci_blob(&abc, 10).unwrap(), None);
    assert_eq!(test.store.has_oci_blob(&abc).unwrap(), None);
}

#[test]
fn base_layers_packed_forms_images_and_tags_are_remembered() {
    let test = new_store();
    let tree = Dir::default().with("f", text(&test.store, b"x")).tree(&test.store);
    let layer = test.store.put_tree(&tree).unwrap();
    let chain = OciDigest([4; 32]);
    let packed = Packed { digest: OciDigest([5; 32]), size: 6, diff_id: OciDigest([7; 32]) };
    let tag = Tag { bytes: b"answer".to_vec(), time: 8 };
    test.store.put_base_layer(&chain, &layer).unwrap();
    test.store.put_packed(&layer.digest, "gzip-6", &packed).unwrap();
    test.store.put_packed(&layer.digest, "zstd-3", &Packed { size: 9, ..packed }).unwrap();
    test.store.put_image("a:1", b"one").unwrap();
    test.store.put_image("b:1", b"two").unwrap();
    test.store.put_tag("a:1", &tag).unwrap();

    let test = test.reopen();
    assert_eq!(test.store.base_layer(&chain).unwrap(), Some(layer));
    assert_eq!(test.store.base_layer(&OciDigest([9; 32])).unwrap(), None);
    assert_eq!(test.store.packed(&layer.digest, "gzip-6").unwrap(), Some(packed));
    assert_eq!(test.store.packed(&layer.digest, "gzip").unwrap(), None);
    let codecs: Vec<_> =
        test.store.packed_forms(&layer.digest).unwrap().into_iter().map(|(codec, _)| codec).collect();
    assert_eq!(codecs, ["gzip-6", "zstd-3"]);
    test.store.remove_image("a:1").unwrap();
    assert_eq!(test.store.images().unwrap(), [("b:1".to_owned(), b"two".to_vec())]);
    assert_eq!(test.store.tag("a:1").unwrap(), Some(tag.clone()));
    test.store.put_tag("b:1", &tag).unwrap();
    test.store.put_tag("a:2", &Tag { time: 9, ..tag.clone() }).unwrap();
    test.store.forget_tags("a:", &|_, time| time < 9).unwrap();
    assert_eq!(test.store.tag("a:1").unwrap(), None);
    assert!(test.store.tag("a:2").unwrap().is_some());
    assert_eq!(test.store.tag("b:1").unwrap(), Some(tag), "it begins with something else");
}
