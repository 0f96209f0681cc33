//! `-` as Dockerfile and as context.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::layout::{Layer, gzip};

#[test]
fn a_dockerfile_from_standard_input_uses_the_context() {
    let farm = Farm::new();
    let context = Context::new("FROM nowhere.invalid/x\n").file("a", "1");
    let outcome =
        farm.build(context.path()).option("-f", "-").stdin("FROM scratch\nCOPY a /\n").run().expect(0);
    assert_eq!(outcome.files().text("a"), "1");
}

#[test]
fn a_lone_dockerfile_as_context_has_no_files() {
    let farm = Farm::new();
    let outcome = farm.build("-").stdin("FROM scratch\nLABEL a=b\n").run().expect(0);
    assert_eq!(outcome.image().config["config"]["Labels"]["a"], "b");
    let outcome = farm.build("-").stdin("FROM scratch\nCOPY a /\n").run();
    assert_eq!(outcome.status, Some(1), "{}", outcome.log);
}

#[test]
fn a_tar_as_context_is_unpacked_plain_and_compressed() {
    let tar = Layer::new().file("Dockerfile", "FROM scratch\nCOPY a /\n").file("a", "1").bytes();
    for bytes in [tar.clone(), gzip(&tar)] {
        let farm = Farm::new();
        let outcome = farm.build("-").stdin(bytes).run().expect(0);
        assert_eq!(outcome.files().text("a"), "1");
    }
}

#[test]
fn a_hostile_tar_as_context_stays_inside() {
    let farm = Farm::new();
    let outside = farm.scratch("escaped");
    let up = format!("{}{}", "../".repeat(40), outside.display().to_string().trim_start_matches('/'));
    let tar = Layer::new().file("Dockerfile", "FROM scratch\nLABEL a=b\n").file(&up, "x").bytes();
    let outcome = farm.build("-").stdin(tar).run();
    assert!(outcome.status != Some(70), "{}", outcome.log);
    assert!(!outside.exists(), "the context wrote outside");
}

#[test]
fn nothing_on_standard_input_is_an_error() {
    let farm = Farm::new();
    assert_eq!(farm.build("-").stdin("").run().status, Some(2));
    let context = Context::new("FROM scratch\n");
    assert_eq!(farm.build(context.path()).option("-f", "-").stdin("").run().status, Some(2));
}

#[test]
fn both_from_standard_input_is_an_error_of_usage() {
    let farm = Farm::new();
    assert_eq!(farm.build("-").option("-f", "-").stdin("FROM scratch\n").run().status, Some(2));
}
