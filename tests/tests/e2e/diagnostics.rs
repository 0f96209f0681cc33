//! Wrong input: a clear message that shows where, the way out, and the right exit status.

use farm_tests::context::Context;
use farm_tests::farm::Farm;

fn status_and_log(dockerfile: &str) -> (i32, String) {
    let farm = Farm::new();
    let outcome = farm.build(Context::new(dockerfile).path()).run();
    (outcome.status.unwrap_or(-1), outcome.log)
}

#[test]
fn a_dockerfile_error_shows_file_line_column_and_the_line_itself() {
    let (status, log) = status_and_log("FROM scratch\nCOPY --chwon=1 a /\n");
    assert_eq!(status, 2, "{log}");
    for part in ["Dockerfile:2:", "COPY --chwon=1 a /", "--chown"] {
        assert!(log.contains(part), "`{part}` is not in:\n{log}");
    }
}

#[test]
fn a_file_that_copy_misses_is_named() {
    let (status, log) = status_and_log("FROM scratch\nCOPY settings.json /\n");
    assert_eq!(status, 1, "{log}");
    assert!(log.contains("settings.json") && log.contains("Dockerfile:2"), "{log}");
}

#[test]
fn an_unknown_stage_is_no_image_of_that_name() {
    let (status, log) = status_and_log("FROM scratch AS builder\nFROM scratch\nCOPY --from=biulder / /\n");
    assert!([1, 2, 3].contains(&status), "{status}: {log}");
    assert!(log.contains("biulder"), "{log}");
}

#[test]
fn stages_that_need_each_other_are_an_error() {
    let (status, log) =
        status_and_log("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n");
    assert_ne!(status, 0, "{log}");
    assert_ne!(status, 70, "{log}");
}

#[test]
fn a_failing_command_gives_its_status_and_its_output() {
    let (status, log) = status_and_log("FROM busybox\nRUN echo to-stdout; echo to-stderr >&2; exit 37\n");
    assert_eq!(status, 1, "{log}");
    for part in ["to-stdout", "to-stderr", "37"] {
        assert!(log.contains(part), "`{part}` is not in:\n{log}");
    }
}

#[test]
fn a_signal_is_reported_as_a_signal() {
    let (status, log) = status_and_log("FROM busybox\nRUN kill -SEGV $$; sleep 1; true\n");
    // The first process of a namespace ignores signals without a handler, so a child is killed as well.
    let (child_status, child_log) = status_and_log("FROM busybox\nRUN sh -c 'kill -9 $$'\n");
    assert!(status == 0 || status == 1, "{log}");
    assert_eq!(child_status, 1, "{child_log}");
    assert!(child_log.contains("137") || child_log.to_lowercase().contains("kill"), "{child_log}");
}

#[test]
fn wrong_usage_has_status_two() {
    let farm = Farm::new();
    let context = Context::new("FROM scratch\n");
    let path = context.path().to_str().unwrap();
    for words in [
        vec!["build"],
        vec!["build", "--no-such-option", path],
        vec!["build", "--output", "type=nonsense,dest=x", path],
        vec!["build", "--secret", "src=nowhere", path],
        vec!["build", "--build-context", "noequals", path],
        vec!["build", "/no/such/directory/anywhere"],
        vec!["no-such-command"],
    ] {
        let outcome = farm.command(&words).run();
        assert_eq!(outcome.status, Some(2), "{words:?}:\n{}", outcome.log);
    }
}

#[test]
fn a_dockerfile_that_is_missing_is_named() {
    let farm = Farm::new();
    let context = Context::new("FROM scratch\n");
    let outcome = farm.build(context.path()).option("-f", context.join("Containerfile")).run();
    let outcome = outcome.says(&["Containerfile"]);
    assert_eq!(outcome.status, Some(2), "{}", outcome.log);
}

#[test]
fn a_dockerfile_that_is_not_text_is_an_error_and_no_panic() {
    let farm = Farm::new();
    let context = Context::new("").file("Dockerfile", [0xff, 0xfe, 0x00, 0x46, 0x0a, 0xc3, 0x28]);
    let outcome = farm.build(context.path()).run().expect(2);
    assert!(!outcome.log.contains("panicked"), "{}", outcome.log);
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let nested = format!("FROM scratch\nLABEL a={}x{}\n", "${a:-".repeat(50_000), "}".repeat(50_000));
    let (status, log) = status_and_log(&nested);
    assert_eq!(status, 2, "{}", &log[..log.len().min(2000)]);
}
