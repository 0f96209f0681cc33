//! Layers and archives that mean harm: they cannot write outside the image, and they cannot eat the machine.

use std::path::Path;

use farm_tests::context::Context;
use farm_tests::farm::{Farm, Outcome};
use farm_tests::image::digest_of;
use farm_tests::layout::{Blobs, Layer, gzip};
use serde_json::json;

/// Builds from a layout that holds these layers, and copies a file of the image in a step.
fn build_on(farm: &Farm, image: &Blobs) -> Outcome {
    let layout = farm.scratch("layout");
    image.write_layout(&layout, "latest").expect("a layout in a temporary directory");
    let context = Context::new("FROM hostile\nCOPY mine /mine\n").file("mine", "1");
    farm.build(context.path())
        .option("--build-context", format!("hostile=oci-layout://{}:latest", layout.display()))
        .run()
}

fn add(farm: &Farm, archive: &[u8]) -> Outcome {
    farm.build(Context::new("FROM scratch\nADD t.tar /d/\n").file("t.tar", archive).path()).run()
}

fn no_panic(outcome: &Outcome) {
    assert!(
        outcome.status != Some(70) && !outcome.log.contains("panicked"),
        "{:?}: {}",
        outcome.status,
        outcome.log
    );
}

/// A place outside every root file system that hostile paths aim at.
fn target(farm: &Farm) -> String {
    farm.scratch("escaped").display().to_string()
}

#[test]
fn dots_in_a_layer_cannot_leave_the_root() {
    let farm = Farm::new();
    let up = format!("{}{}", "../".repeat(40), target(&farm).trim_start_matches('/'));
    let outcome = build_on(&farm, &Blobs::of(&[Layer::new().file(&up, "x").file("ok", "1")], &json!({})));
    no_panic(&outcome);
    assert!(!Path::new(&target(&farm)).exists(), "a layer wrote outside");
}

#[test]
fn a_symlink_in_a_layer_cannot_be_written_through() {
    let farm = Farm::new();
    let outside = farm.scratch("outside");
    std::fs::create_dir(&outside).unwrap();
    let layer = Layer::new().symlink("way", &outside.display().to_string()).file("way/escaped", "x");
    no_panic(&build_on(&farm, &Blobs::of(std::slice::from_ref(&layer), &json!({}))));
    let upper = Layer::new().file("way/escaped", "x");
    no_panic(&build_on(
        &Farm::new(),
        &Blobs::of(&[Layer::new().symlink("way", &outside.display().to_string()), upper], &json!({})),
    ));
    no_panic(&add(&farm, &layer.bytes()));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "something was written outside");
}

#[test]
fn a_hard_link_to_the_host_is_refused() {
    let farm = Farm::new();
    let secret = farm.scratch("host-secret");
    std::fs::write(&secret, "host").unwrap();
    for place in [secret.display().to_string(), format!("{}{}", "../".repeat(40), secret.display())] {
        let outcome = add(&farm, &Layer::new().hard_link("stolen", &place).bytes());
        no_panic(&outcome);
        assert_ne!(outcome.status, Some(0), "{}", outcome.log);
        let outcome =
            build_on(&Farm::new(), &Blobs::of(&[Layer::new().hard_link("stolen", &place)], &json!({})));
        no_panic(&outcome);
        assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    }
}

#[test]
fn dots_in_an_archive_stay_below_the_destination() {
    let farm = Farm::new();
    let up = format!("{}{}", "../".repeat(40), target(&farm).trim_start_matches('/'));
    let outcome = add(&farm, &Layer::new().file("ok", "1").file(&up, "x").bytes());
    no_panic(&outcome);
    assert!(!Path::new(&target(&farm)).exists(), "an archive wrote outside");
}

#[test]
fn a_truncated_layer_is_an_error() {
    let farm = Farm::new();
    let whole = Layer::new().file("a", &"x".repeat(5000)).bytes();
    let packed = gzip(&whole);
    let cut = packed[..packed.len() / 2].to_vec();
    let outcome = build_on(&farm, &Blobs::packed(vec![(digest_of(&whole), cut)], &json!({})));
    no_panic(&outcome);
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
}

#[test]
fn a_layer_whose_diff_id_differs_is_an_error() {
    let outcome = build_on(
        &Farm::new(),
        &Blobs::packed(vec![(digest_of(b"other"), gzip(&Layer::new().file("a", "1").bytes()))], &json!({})),
    );
    no_panic(&outcome);
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
}

#[test]
fn a_truncated_archive_is_an_error() {
    let farm = Farm::new();
    // Numbers compress badly enough that half of the gzip still holds the first header.
    let numbers = (0_u64..40_000).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
    let text = numbers.collect::<String>();
    let whole = Layer::new().file("a", &text).bytes();
    let packed = gzip(&whole);
    for bytes in [&whole[..whole.len() / 2], &packed[..packed.len() / 2]] {
        let outcome = add(&farm, bytes);
        no_panic(&outcome);
        assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    }
}

#[test]
fn an_entry_that_lies_about_its_size_is_an_error() {
    let outcome = add(&Farm::new(), &Layer::new().raw(b'0', "a", "", b"short", 8_000_000_000).bytes());
    no_panic(&outcome);
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
}

#[test]
fn a_bomb_is_stopped_before_it_fills_the_disk() {
    // 20 GB of zeros in a gzip of 20 MB would take minutes to make; nesting members makes the same from one.
    let zeros = vec![0_u8; 64 << 20];
    let member = gzip(&zeros);
    let header_only = Layer::new().raw(b'0', "bomb", "", b"", 0o77_777_777_777).bytes();
    let mut bomb = gzip(&header_only[..512]);
    for _ in 0..160 {
        bomb.extend_from_slice(&member);
    }
    let farm = Farm::new();
    let outcome = add(&farm, &bomb);
    no_panic(&outcome);
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    let kept: u64 = farm.kept_files().iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
    assert!(kept < 2 << 30, "{kept} bytes of the bomb were kept");
}

#[test]
fn a_directory_depth_without_end_is_no_overflow() {
    let mut layer = Layer::new();
    // The longest name that fits an old header, again and again below itself through a symlink.
    let deep = "a/".repeat(45);
    layer = layer.file(&format!("{deep}x"), "1").symlink("loop", "loop").file("loop/x", "1");
    no_panic(&build_on(&Farm::new(), &Blobs::of(&[layer.clone()], &json!({}))));
    no_panic(&add(&Farm::new(), &layer.bytes()));
}

#[test]
fn a_symlink_of_a_stage_cannot_reach_the_host_by_copy() {
    let farm = Farm::new();
    let secret = farm.scratch("host-secret");
    std::fs::write(&secret, "host").unwrap();
    let place = secret.display();
    let dockerfile =
        format!("FROM busybox AS s\nRUN ln -s {place} /way\nFROM scratch\nCOPY --from=s /way /stolen\n");
    let outcome = farm.build(Context::new(&dockerfile).path()).run();
    no_panic(&outcome);
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    let context = Context::new("FROM scratch\nCOPY way /stolen\n").symlink("way", &place.to_string());
    let outcome = farm.build(context.path()).run();
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
}

#[test]
fn a_manifest_of_nonsense_is_an_error() {
    let farm = Farm::new();
    let layout = farm.scratch("layout");
    let image =
        Blobs { manifest: br#"{"schemaVersion":2,"config":{},"layers":"many"}"#.to_vec(), blobs: Vec::new() };
    image.write_layout(&layout, "latest").unwrap();
    let outcome = build_on(&farm, &image);
    no_panic(&outcome);
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
}
