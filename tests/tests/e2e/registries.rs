//! Registries that refuse, break off or lie: status 3, the reference in the message, nothing lost.

use farm_tests::context::Context;
use farm_tests::farm::{Farm, Outcome};
use farm_tests::layout::{Blobs, Layer};
use farm_tests::registry::{Answer, FakeRegistry, status};
use serde_json::json;

fn image() -> Blobs {
    Blobs::of(
        &[Layer::new().directory("d").file("d/from-registry", "yes")],
        &json!({ "Env": ["PATH=/bin", "A=b"] }),
    )
}

/// A farm that may speak plain HTTP to these.
fn farm_for(registries: &[&FakeRegistry]) -> Farm {
    let configurations: Vec<_> = registries.iter().map(|registry| registry.configuration()).collect();
    let farm = Farm::configured(&configurations.concat());
    for registry in registries {
        farm.reach(registry.address());
    }
    farm
}

fn build_in(farm: &Farm, registry: &FakeRegistry) -> Outcome {
    farm.build(Context::new(&format!("FROM {}/some/image:tag\n", registry.address())).path()).run()
}

fn fails_with(registry: &FakeRegistry, words: &[&str]) {
    let outcome = build_in(&farm_for(&[registry]), registry).says(words).says(&["some/image"]);
    assert_eq!(outcome.status, Some(3), "{}", outcome.log);
    assert!(!outcome.log.contains("panicked"), "{}", outcome.log);
}

#[test]
fn an_image_is_pulled_and_its_config_kept() {
    let registry = FakeRegistry::serving(image(), |_, answer| answer);
    let farm = farm_for(&[&registry]);
    let outcome = build_in(&farm, &registry).expect(0);
    assert_eq!(outcome.files().text("d/from-registry"), "yes");
    assert_eq!(outcome.image().config["config"]["Env"], json!(["PATH=/bin", "A=b"]));
}

#[test]
fn a_401_says_that_access_was_denied() {
    fails_with(&FakeRegistry::start(|_| status(401)), &["401"]);
}

#[test]
fn a_404_says_that_there_is_no_such_image() {
    fails_with(
        &FakeRegistry::serving(
            image(),
            |path, answer| if path.contains("/manifests/") { status(404) } else { answer },
        ),
        &["not found"],
    );
}

#[test]
fn a_500_is_the_registry_s_failure() {
    fails_with(&FakeRegistry::start(|_| status(500)), &["500"]);
}

#[test]
fn a_registry_that_hangs_up_half_way_is_an_error() {
    let cut = |path: &str, answer: Answer| match answer {
        Answer::Whole(200, _, body) if path.contains("/blobs/") && body.starts_with(b"\x1f\x8b") => {
            Answer::CutAfter(body.len() / 2, body)
        }
        other @ (Answer::Whole(..) | Answer::CutAfter(..)) => other,
    };
    fails_with(&FakeRegistry::serving(image(), cut), &[]);
}

#[test]
fn a_blob_with_other_bytes_is_never_used() {
    let lie = |path: &str, answer: Answer| match answer {
        Answer::Whole(200, headers, body) if path.contains("/blobs/") && body.starts_with(b"\x1f\x8b") => {
            let mut body = body;
            let last = body.len() - 9;
            body[last] ^= 1;
            Answer::Whole(200, headers, body)
        }
        other @ (Answer::Whole(..) | Answer::CutAfter(..)) => other,
    };
    fails_with(&FakeRegistry::serving(image(), lie), &["sha256:"]);
}

#[test]
fn a_manifest_that_is_not_json_is_an_error() {
    let lie = |path: &str, answer: Answer| {
        if path.contains("/manifests/") {
            Answer::Whole(200, Vec::new(), b"<html>login</html>".to_vec())
        } else {
            answer
        }
    };
    fails_with(&FakeRegistry::serving(image(), lie), &[]);
}

#[test]
fn nobody_listening_is_an_error_that_names_the_address() {
    // Bound and dropped: the port is free, and nobody is there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let farm = Farm::new();
    let outcome =
        farm.build(Context::new(&format!("FROM {address}/some/image\n")).path()).run().says(&[&address]);
    assert_eq!(outcome.status, Some(3), "{}", outcome.log);
}

#[test]
fn a_base_that_does_not_exist_is_named() {
    let farm = Farm::new();
    let outcome = farm.build(Context::new("FROM no-such-image-anywhere:1\n").path()).run();
    let outcome = outcome.says(&["no-such-image-anywhere", "Dockerfile:1"]);
    assert_eq!(outcome.status, Some(3), "{}", outcome.log);
}

#[test]
fn a_digest_pins_the_manifest() {
    let registry = FakeRegistry::serving(image(), |_, answer| answer);
    let farm = farm_for(&[&registry]);
    let wrong = format!("FROM {}/some/image@sha256:{}\n", registry.address(), "0".repeat(64));
    let outcome = farm.build(Context::new(&wrong).path()).run();
    assert_eq!(outcome.status, Some(3), "{}", outcome.log);
}

#[test]
fn what_was_pulled_before_a_failure_is_not_pulled_again() {
    let two = Blobs::of(&[Layer::new().file("a", "1"), Layer::new().file("b", "2")], &json!({}));
    let (first, second) = (two.blobs[1].0.clone(), two.blobs[2].0.clone());
    let broken = second.clone();
    let bad = FakeRegistry::serving(
        two.clone(),
        move |path, answer| if path.ends_with(&broken) { status(500) } else { answer },
    );
    let good = FakeRegistry::serving(two, |_, answer| answer);
    let farm = farm_for(&[&bad, &good]);
    assert_eq!(build_in(&farm, &bad).status, Some(3));
    let outcome = build_in(&farm, &good).expect(0);
    assert_eq!((outcome.files().text("a"), outcome.files().text("b")), ("1".to_owned(), "2".to_owned()));
    let asked = good.requests();
    assert!(asked.iter().any(|path| path.ends_with(&second)), "{asked:?}");
    assert!(!asked.iter().any(|path| path.ends_with(&first)), "the first layer was pulled again: {asked:?}");
}

#[test]
fn a_remote_file_is_added_with_its_checksum_verified() {
    let body = b"remote content".to_vec();
    let digest = farm_tests::image::digest_of(&body);
    let server = FakeRegistry::start(move |path| match path {
        "/file.txt" => Answer::Whole(
            200,
            vec![("Last-Modified".to_owned(), "Fri, 13 Feb 2009 23:31:30 GMT".to_owned())],
            body.clone(),
        ),
        _ => status(404),
    });
    let farm = farm_for(&[&server]);
    let url = format!("http://{}/file.txt", server.address());
    let good = format!("FROM scratch\nADD {url} /d/\nADD --checksum={digest} --chmod=640 {url} /e\n");
    let outcome = farm.build(Context::new(&good).path()).run().expect(0);
    let files = outcome.files();
    assert_eq!(files.text("d/file.txt"), "remote content");
    assert_eq!(files.inode("d/file.txt").unwrap().view["mode"], "0600");
    assert_eq!(files.inode("d/file.txt").unwrap().mtime, 1_234_567_890);
    assert_eq!(files.inode("e").unwrap().view["mode"], "0640");
    let wrong = format!("FROM scratch\nADD --checksum=sha256:{} {url} /\n", "0".repeat(64));
    let outcome = farm.build(Context::new(&wrong).path()).run().says(&["checksum"]);
    assert!([Some(1), Some(3)].contains(&outcome.status), "{}", outcome.log);
    let missing = format!("FROM scratch\nADD http://{}/nope /\n", server.address());
    let outcome = farm.build(Context::new(&missing).path()).run().says(&["404", "/nope"]);
    assert!([Some(1), Some(3)].contains(&outcome.status), "{}", outcome.log);
}
