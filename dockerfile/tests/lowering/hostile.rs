//! Text from anybody ends in a graph or an error, soon.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::support::{base, lower, lower_with, options};

/// Lines that are likely to get far, put together at random.
fn dockerfile() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("FROM scratch AS a".to_owned()),
        Just("FROM a".to_owned()),
        Just("FROM x AS b".to_owned()),
        Just("FROM --platform=$BUILDPLATFORM x AS c".to_owned()),
        Just("ONBUILD COPY --from=a x y".to_owned()),
        Just("ONBUILD RUN <<E\nls\nE".to_owned()),
        "(ARG|ENV|LABEL|USER|WORKDIR|EXPOSE|VOLUME|STOPSIGNAL|SHELL|CMD|MAINTAINER) [a-z$\\{\\}:=/\"'\\[\\], .-]{0,20}",
        "(COPY|ADD) (--[a-z-]{0,8}(=[a-z$0-9]{0,4})? ){0,2}[a-z$/*. \"\\[\\]<]{0,16}",
        "RUN (--mount=[a-z=,/$\"]{0,24} ){0,2}[a-z$ <]{0,12}",
        "HEALTHCHECK (--[a-z-]{0,14}=[0-9a-z.]{0,5} )?(CMD|NONE)?[a-z \"\\[\\]]{0,8}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = farm_dockerfile::prepare_source(&bytes, options());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = lower(&format!("FROM x\n{text}"));
    }

    #[test]
    fn plausible_dockerfiles_never_panic(text in dockerfile()) {
        let _ = lower(&text);
        let _ = lower(&format!("FROM x AS a\n{text}"));
    }

    #[test]
    fn arbitrary_triggers_of_an_image_never_panic(trigger in "\\PC{0,60}") {
        let _ = lower_with("FROM x", options(), &|image| {
            let mut config = base(image);
            config.on_build.push(trigger.clone());
            config
        });
    }
}

fn numbered(range: std::ops::Range<u32>, line: fn(u32) -> String) -> String {
    range.map(line).collect::<Vec<_>>().concat()
}

/// Runs `text`, which must be refused or lowered within a generous deadline.
fn within_seconds(text: &str) -> Result<farm_dockerfile::Lowered, farm_dockerfile::Error> {
    let start = Instant::now();
    let result = lower(text);
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    result
}

#[test]
fn doubling_variables_are_refused() {
    let mut text = "FROM scratch\nENV a=xxxxxxxxxxxxxxxx\n".to_owned();
    for _ in 0..60 {
        text.push_str("ENV a=$a$a\n");
    }
    assert!(within_seconds(&text).is_err());
}

#[test]
fn many_large_variables_are_refused() {
    let variables: String = numbered(0..1000, |n| format!("ENV a{n}=$a\n"));
    let text = format!("FROM scratch\nENV a={}\n{variables}", "x".repeat(100_000));
    let error = within_seconds(&text).expect_err("too large");
    assert!(error.diagnostic().message.contains("larger than"), "{error}");
}

#[test]
fn large_variables_repeated_in_many_steps_are_refused() {
    let text = format!("FROM x\nENV a={}\n{}", "x".repeat(1 << 20), "RUN y\n".repeat(2000));
    assert!(within_seconds(&text[..]).is_err());
}

#[test]
fn long_chains_of_stages_need_no_deep_stack() {
    let stages = numbered(1..20_000, |n| format!("FROM scratch AS s{n}\nCOPY --from=s{} / /\n", n - 1));
    let lowered = within_seconds(&format!("FROM scratch AS s0\n{stages}")).unwrap();
    assert_eq!(lowered.graph.stages.len(), 20_000);
}

#[test]
fn many_names_cost_no_more_than_linear_time() {
    let variables = numbered(0..100_000, |n| format!("ENV v{n}=1\n"));
    assert!(within_seconds(&format!("FROM scratch\n{variables}")).is_ok());
}

#[test]
fn ports_without_end_are_refused() {
    let text = format!("FROM scratch\n{}", "EXPOSE 0-65535\n".repeat(100_000));
    assert!(within_seconds(&text).is_err());
}

#[test]
fn what_many_stages_repeat_is_refused() {
    let labels = format!(
        "FROM scratch AS a\n{}",
        numbered(0..20_000, |n| format!("LABEL l{n}={}\n", "x".repeat(400)))
    );
    assert!(within_seconds(&format!("{labels}{}", "FROM a AS a\n".repeat(20_000))).is_err());
    let triggers = format!("FROM scratch AS a\n{}", "ONBUILD USER x\n".repeat(100_000));
    assert!(
        within_seconds(&format!(
            "{triggers}{}FROM scratch\n{}",
            "FROM a\n".repeat(100_000),
            numbered(1..100_000, |n| format!("COPY --from={n} / /\n"))
        ))
        .is_err()
    );
}

#[test]
fn large_heredocs_repeated_in_many_steps_are_refused() {
    let text = format!("FROM x\nENV a={}\n{}", "x".repeat(1 << 19), "COPY <<E /\n$a\nE\n".repeat(20_000));
    assert!(within_seconds(&text).is_err());
}
