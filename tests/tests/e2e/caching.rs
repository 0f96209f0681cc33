//! What is remembered between builds, by processes that share nothing but the state directory.

use std::time::{Duration, Instant};

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::sequence::{State, state_of};

#[test]
fn a_second_process_finds_everything_cached() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nWORKDIR /w\nCOPY a .\nRUN cat a > b\n").file("a", "1");
    let first = farm.build(context.path()).run().expect(0);
    let second = farm.build(context.path()).run().expect(0);
    for step in ["WORKDIR", "COPY a", "RUN cat"] {
        assert_eq!(state_of(&first.log, step), Some(State::Ran), "{step}:\n{}", first.log);
        assert_eq!(state_of(&second.log, step), Some(State::Cached), "{step}:\n{}", second.log);
    }
    assert_eq!(first.image().diff_ids(), second.image().diff_ids());
}

#[test]
fn a_canonical_layer_keeps_its_times_when_a_step_runs_again() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN mkdir /d && echo 1 > /d/f\nRUN echo 2 > /g\n");
    let first = farm.build(context.path()).run().expect(0);
    // Without the cache both steps run again, at another time, and give the same content.
    std::thread::sleep(Duration::from_millis(1100));
    let second = farm.build(context.path()).argument("--no-cache").run().expect(0);
    assert_eq!(state_of(&second.log, "RUN mkdir"), Some(State::Ran), "{}", second.log);
    assert_eq!(first.image().diff_ids(), second.image().diff_ids());
}

#[test]
fn stages_that_do_not_need_each_other_run_at_once() {
    let farm = Farm::new();
    let warm = Context::new("FROM busybox\nRUN true\n");
    let _warm = farm.build(warm.path()).run().expect(0);
    let stage = |name: &str| format!("FROM busybox AS {name}\nRUN sleep 3 && echo {name} > /{name}\n");
    let copies = "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n";
    let context = Context::new(&format!("{}{}{copies}", stage("a"), stage("b")));
    let started = Instant::now();
    let outcome = farm.build(context.path()).run().expect(0);
    assert!(
        started.elapsed() < Duration::from_millis(5900),
        "two stages of 3 s took {:?}",
        started.elapsed()
    );
    assert_eq!((outcome.files().text("a"), outcome.files().text("b")), ("a\n".to_owned(), "b\n".to_owned()));
}

#[test]
fn a_file_changed_without_changing_size_or_time_is_noticed() {
    let farm = Farm::new();
    let context = Context::new("FROM scratch\nCOPY a /\n").file("a", "11");
    let _first = farm.build(context.path()).run().expect(0);
    let time = std::fs::metadata(context.join("a")).unwrap().modified().unwrap();
    context.write("a", "22");
    std::fs::File::options().write(true).open(context.join("a")).unwrap().set_modified(time).unwrap();
    let second = farm.build(context.path()).run().expect(0);
    assert_eq!(second.files().text("a"), "22");
}

#[test]
fn equal_steps_of_two_stages_run_once() {
    let farm = Farm::new();
    let step = "RUN head -c 16 /dev/urandom | sha256sum > /x\n";
    let context = Context::new(&format!(
        "FROM busybox AS a\n{step}FROM busybox AS b\n{step}FROM scratch\nCOPY --from=a /x /a\nCOPY --from=b /x /b\n"
    ));
    let files = farm.build(context.path()).run().expect(0).files();
    assert_eq!(files.text("a"), files.text("b"));
}

#[test]
fn a_failed_step_is_never_cached() {
    let farm = Farm::new();
    let context = Context::new(
        "FROM busybox\nRUN --mount=type=cache,target=/c test -e /c/again || { touch /c/again; exit 1; }\n",
    );
    assert_eq!(farm.build(context.path()).run().status, Some(1));
    let _second = farm.build(context.path()).run().expect(0);
}

#[test]
fn a_damaged_layer_is_never_used() {
    let farm = Farm::new();
    let context = Context::new(
        "FROM busybox AS b\nRUN yes payload | head -c 300000 > /big\nFROM scratch\nCOPY --from=b /big /\n",
    );
    let first = farm.build(context.path()).run().expect(0);
    let good = first.files().text("big");
    let mut damaged = 0;
    for file in farm.kept_files() {
        let bytes = std::fs::read(&file).unwrap_or_default();
        if bytes == good.as_bytes() {
            let mut other = bytes;
            other[1000] ^= 1;
            std::fs::write(&file, other).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "the file's bytes are in no state directory as they are");
    let second = farm.build(context.path()).run();
    if second.status == Some(0) {
        assert!(second.files().text("big") == good, "damaged bytes were served");
    }
}
