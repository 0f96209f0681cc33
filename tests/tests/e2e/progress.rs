//! Plain and quiet progress.

use farm_tests::context::Context;
use farm_tests::farm::{Farm, count_lines};

const DOCKERFILE: &str = "FROM busybox AS builder\nRUN echo one && echo two\nRUN echo three > /x\n\
    FROM scratch\nCOPY --from=builder /x /\n";

#[test]
fn every_step_is_named_with_its_log_and_its_time() {
    let farm = Farm::new();
    let outcome = farm.build(Context::new(DOCKERFILE).path()).run().expect(0);
    for name in
        ["library/busybox", "RUN echo one && echo two", "RUN echo three > /x", "COPY --from=builder /x /"]
    {
        assert!(outcome.log.contains(name), "`{name}` is not in:\n{}", outcome.log);
    }
    assert!(outcome.log.contains("builder"), "no stage is named:\n{}", outcome.log);
    assert!(count_lines(&outcome.log, &["#", " one"]) > 0, "{}", outcome.log);
    assert!(count_lines(&outcome.log, &["DONE"]) >= 2, "{}", outcome.log);
}

#[test]
fn a_cached_step_says_so() {
    let farm = Farm::new();
    let context = Context::new(DOCKERFILE);
    let _first = farm.build(context.path()).run().expect(0);
    let second = farm.build(context.path()).run().expect(0);
    assert!(count_lines(&second.log, &["CACHED"]) >= 3, "{}", second.log);
}

#[test]
fn the_summary_tells_what_each_stage_weighed() {
    let farm = Farm::new();
    let outcome = farm.build(Context::new(DOCKERFILE).path()).run().expect(0);
    let summary: Vec<_> = outcome.log.lines().rev().take(12).collect();
    assert!(
        summary.iter().any(|line| line.contains("builder")),
        "no weight of `builder` at the end of:\n{}",
        outcome.log
    );
}

#[test]
fn quiet_prints_only_the_image_s_id() {
    let farm = Farm::new();
    let context = Context::new(DOCKERFILE);
    let id_file = farm.scratch("id");
    let path = context.path().to_str().unwrap();
    let outcome = farm
        .command(&["build", "--progress", "quiet", "--iidfile", id_file.to_str().unwrap(), path])
        .run()
        .expect(0);
    assert_eq!(outcome.log.trim(), std::fs::read_to_string(id_file).unwrap().trim());
}

#[test]
fn control_characters_of_a_log_do_not_reach_the_terminal() {
    let farm = Farm::new();
    let context = Context::new("FROM busybox\nRUN printf '\\033[2Jcleared\\n'\n");
    let outcome = farm.build(context.path()).run().expect(0);
    assert!(!outcome.log.contains('\u{1b}'), "an escape sequence came through");
    assert!(outcome.log.contains("cleared"), "{}", outcome.log);
}
