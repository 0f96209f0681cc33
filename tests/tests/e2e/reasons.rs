//! `farm why` after a build, and `farm build --plan` before one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farm_tests::context::Context;
use farm_tests::farm::{Farm, Outcome};
use farm_tests::layout::{Blobs, Layer};
use farm_tests::registry::{FakeRegistry, usual_answer};
use serde_json::json;

const DOCKERFILE: &str = "FROM busybox AS build\nARG V=1\nENV E=1\nCOPY src /src\nRUN cat /src/* > /out\nRUN echo $V > /v\n\
    FROM scratch\nCOPY --from=build /out /v /\n";

fn context() -> Context {
    Context::new(DOCKERFILE).file("src/a", "1").file("src/b", "1")
}

fn built(farm: &Farm, context: &Context, options: &[&str]) -> Outcome {
    let words =
        [&["build", "-t", "app:1", "--progress", "plain"], options, &[context.path().to_str().unwrap()]]
            .concat();
    farm.command(&words).run().expect(0)
}

#[test]
fn the_first_thing_that_changed_is_named() {
    let run = "RUN cat";
    for (change, options, step, words) in [
        ("src/a=2", &[][..], "COPY src", &["src/a changed", "1 of "][..]),
        ("src/c=1", &[], "COPY src", &["src/c was added"]),
        ("src/a=2", &[], run, &["it stands on `COPY src /src`", "src/a"]),
        ("", &["--build-arg", "V=2"], "RUN echo", &["the variable V has another value"]),
        ("Dockerfile=ENV E=1:ENV E=2", &[], run, &["the variable E has another value"]),
        ("Dockerfile=ENV E=1:ENV E=1 F=1", &[], run, &["the variable F is new"]),
        ("Dockerfile=cat /src/*:cat /src/?", &[], run, &["the instruction changed", "cat /src/?"]),
        ("", &["--no-cache"], run, &["the cache was not to be used"]),
    ] {
        let (farm, context) = (Farm::new(), context());
        let _first = built(&farm, &context, &[]);
        if let Some((file, content)) = change.split_once('=') {
            match content.split_once(':').filter(|_| file == "Dockerfile") {
                Some((before, after)) => context.write(file, DOCKERFILE.replace(before, after)),
                None => context.write(file, content),
            }
        }
        let _second = built(&farm, &context, options);
        let why = farm.command(&["why", "app:1"]).run().expect(0);
        let told =
            why.stdout.split("\n[").find(|part| part.lines().next().is_some_and(|name| name.contains(step)));
        let told =
            told.unwrap_or_else(|| panic!("{change} {options:?}: `{step}` is not in:\n{}", why.stdout));
        for word in words {
            assert!(told.contains(word), "{change} {options:?}: `{word}` is not in:\n{told}");
        }
    }
}

#[test]
fn a_base_that_moved_is_named() {
    let image = |content: &str| Blobs::of(&[Layer::new().file("f", content)], &json!({}));
    let (before, after) = (image("1"), image("2"));
    let moved = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&moved);
    let registry = FakeRegistry::start(move |path| {
        usual_answer(if now.load(Ordering::Relaxed) { &after } else { &before }, path)
    });
    let farm = Farm::configured(&registry.configuration());
    farm.reach(registry.address());
    let upon = Context::new(&format!("FROM {}/own/base:1\nWORKDIR /w\n", registry.address()));
    let _first = built(&farm, &upon, &[]);
    moved.store(true, Ordering::Relaxed);
    let _second = built(&farm, &upon, &["--pull"]);
    let _why =
        farm.command(&["why", "app:1:WORKDIR"]).run().expect(0).says(&["own/base:1", "moved", "sha256:"]);
}

#[test]
fn a_base_of_one_s_own_that_changed_is_named_by_its_first_file() {
    let farm = Farm::new();
    let base = Context::new("FROM busybox\nCOPY f /\n").file("f", "1");
    let base_path = base.path().to_str().unwrap();
    let upon = Context::new("FROM own-base:1\nRUN cat /f > /g\n");
    let _base = farm.command(&["build", "-t", "own-base:1", base_path]).run().expect(0);
    let _first = built(&farm, &upon, &[]);
    base.write("f", "2");
    let _base = farm.command(&["build", "-t", "own-base:1", base_path]).run().expect(0);
    let _second = built(&farm, &upon, &[]);
    let _why = farm
        .command(&["why", "app:1:RUN cat"])
        .run()
        .expect(0)
        .says(&["what its stage starts from", "first at f"]);
}

#[test]
fn a_step_is_named_by_stage_and_number_and_a_build_by_its_id() {
    let (farm, context) = (Farm::new(), context());
    let _first = built(&farm, &context, &[]);
    let second = built(&farm, &context, &[]);
    let _all = farm.command(&["why"]).run().expect(0).says(&["steps were cached"]);
    let one = farm.command(&["why", "app:1:build.3"]).run().expect(0);
    assert!(
        one.stdout.contains("[build 3/") && one.stdout.contains("cached"),
        "{}\n{}",
        one.stdout,
        second.log
    );
    let id = farm.command(&["builds", "list", "--json"]).run().json_lines()[1]["build"].clone();
    let _first = farm.command(&["why", id.as_str().unwrap()]).run().expect(0).says(&["no step like it"]);
    for wrong in ["nothing:1", "app:1:nowhere.9"] {
        assert_eq!(farm.command(&["why", wrong]).run().status, Some(2), "{wrong}");
    }
}

#[test]
fn a_plan_runs_nothing_and_says_what_would_run() {
    let (farm, context) = (Farm::new(), context());
    let path = context.path().to_str().unwrap();
    let plan = || farm.command(&["build", "--plan", "-t", "app:1", path]).run().expect(0);
    let nothing_yet = plan().says(&["RUN cat", "would run"]);
    assert!(!nothing_yet.log.contains("DONE"), "{}", nothing_yet.log);
    let images = farm.command(&["images", "--json"]).run().expect(0);
    assert_eq!(images.stdout, "", "a plan made an image");
    let first = built(&farm, &context, &[]);
    assert!(
        !first.log.contains("#2 CACHED") || first.log.contains("DONE"),
        "the plan ran something: {}",
        first.log
    );
    let all = plan();
    assert!(!all.log.contains("would run"), "{}", all.log);
    context.write("src/a", "2");
    let some = plan().says(&["COPY src", "src/a changed", "would run"]);
    assert!(!some.log.contains("RUN echo") || some.log.contains("stands on"), "{}", some.log);
    let again = farm.command(&["build", "--progress", "plain", path]).run().expect(0);
    assert!(again.log.contains("DONE"), "the plan ran what the build was to run: {}", again.log);
}
