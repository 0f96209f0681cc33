//! What each `--progress` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use farm_tests::context::Context;
use farm_tests::farm::{Farm, binary, count_lines};

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

#[test]
fn rawjson_is_an_object_a_line_with_the_keys_of_buildx() {
    let farm = Farm::new();
    let context = Context::new(DOCKERFILE);
    let path = context.path().to_str().unwrap();
    for cached in [false, true] {
        let outcome = farm.command(&["build", "--progress", "rawjson", path]).run().expect(0);
        let (mut vertices, mut logs) = (BTreeMap::new(), String::new());
        for line in outcome.log.lines() {
            let line: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for vertex in line["vertexes"].as_array().into_iter().flatten() {
                vertices.insert(vertex["digest"].as_str().unwrap().to_owned(), vertex.clone());
            }
            for log in line["logs"].as_array().into_iter().flatten() {
                assert!(
                    vertices.contains_key(log["vertex"].as_str().unwrap()),
                    "a log of an unknown vertex: {log}"
                );
                logs += log["data"].as_str().unwrap();
            }
        }
        let of = |word: &str| {
            vertices.values().find(|vertex| vertex["name"].as_str().unwrap().contains(word)).unwrap()
        };
        let step = of("RUN echo three");
        assert!(step["started"].is_string() && step["completed"].is_string(), "{step}");
        assert_eq!(step["cached"] == true, cached, "{step}");
        assert!(step["inputs"].as_array().is_some_and(|inputs| !inputs.is_empty()), "{step}");
        // `one` in base64, however the log was cut.
        assert_eq!(logs.contains("b25lC"), !cached, "{logs}");
        let inputs =
            vertices.values().flat_map(|vertex| vertex["inputs"].as_array().cloned().unwrap_or_default());
        let unknown: BTreeSet<_> = inputs.map(|input| input.as_str().unwrap().to_owned()).collect();
        assert!(unknown.iter().all(|input| vertices.contains_key(input)), "{unknown:?}");
    }
}

#[test]
fn a_terminal_shows_live_rows_and_keeps_the_whole_log() {
    let farm = Farm::new();
    let lines = "RUN for i in 1 2 3 4 5 6 7 8 9; do echo line-$i; done; sleep 0.5\n";
    let context = Context::new(&DOCKERFILE.replace("RUN echo three", &format!("{lines}RUN echo three")));
    // `script` runs it on a terminal of its own.
    let line = format!("{} build {}", binary().display(), context.path().display());
    let mut command = farm.client(Path::new("script"));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let output = command.env("TERM", "xterm").stdin(std::process::Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("\u{1b}["), "nothing moved the cursor: {text}");
    for line in (1..=9).map(|number| format!("line-{number}")).chain(["RUN echo three".to_owned()]) {
        assert!(text.contains(&line), "`{line}` is not in:\n{text}");
    }
}
