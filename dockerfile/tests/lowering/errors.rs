//! What is wrong is said at its place, with a way out.

use farm_dockerfile::NamedContext;
use farm_model::ImageSource;

use crate::support::{base, lower, lower_with, options};

/// Line, column and message of the error, and its hint.
fn error(text: &str) -> (u32, u32, String, String) {
    let error = lower(text).expect_err(text);
    let diagnostic = error.diagnostic();
    let hint = diagnostic.hint.clone().unwrap_or_else(|| panic!("no hint: {text:?}"));
    (diagnostic.span.line, diagnostic.span.column, diagnostic.message.clone(), hint)
}

fn message(text: &str) -> String {
    error(text).2
}

#[test]
fn an_unknown_flag_suggests_the_nearest() {
    let (line, column, message, hint) = error("FROM scratch\nCOPY --form=x a b\n");
    assert_eq!((line, column), (2, 6));
    assert_eq!(message, "unknown flag: --form");
    assert_eq!(hint, "did you mean `--from`?");
    assert_eq!(error("FROM scratch\nUSER --x y\n").3, "`USER` takes no flags");
}

#[test]
fn flags_are_given_once_and_with_their_kind_of_value() {
    for (line, wanted) in [
        ("COPY --chown=a --chown=b a b", "duplicate flag specified: chown"),
        ("COPY --chown a b", "missing a value on flag: chown"),
        ("COPY --link=perhaps a b", "expecting boolean value for flag link, not: perhaps"),
        ("RUN --network=lan x", "unsupported network mode \"lan\""),
        ("RUN --security=insecure x", "RUN --security=insecure is not supported yet"),
        ("RUN --device=gpu x", "RUN --device is not supported yet"),
        ("ADD --from=x a b", "unknown flag: --from"),
        ("COPY --checksum=x a b", "unknown flag: --checksum"),
    ] {
        assert_eq!(message(&format!("FROM scratch\n{line}\n")), wanted, "{line}");
    }
}

#[test]
fn the_number_of_arguments_is_checked() {
    for (line, wanted) in [
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("USER", "USER requires exactly one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
        ("SHELL sh -c", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK PROBE x", "Unknown type \"PROBE\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("STOPSIGNAL SIGNOTHING", "invalid signal: SIGNOTHING"),
        ("EXPOSE 80/icmp", "invalid proto: icmp"),
        ("ARG =x", "ARG names can not be blank"),
    ] {
        assert_eq!(message(&format!("FROM scratch\n{line}\n")), wanted, "{line}");
    }
}

#[test]
fn errors_in_stages_that_nobody_needs_are_reported() {
    let text = "FROM scratch AS unused\nCOPY --from=$X a b\nFROM scratch\n";
    assert_eq!(error(text).0, 2);
    let text = "FROM Bad AS unused\nFROM scratch\n";
    assert!(message(text).contains("invalid reference format"));
}

#[test]
fn what_is_wrong_first_in_the_file_is_reported_first() {
    assert_eq!(error("FROM scratch\nCOPY a\nFOO\n").0, 2);
    assert_eq!(
        message("RUN x\nFROM scratch\n"),
        "no build stage in current context: `RUN` before the first `FROM`"
    );
    assert_eq!(message("ARG a=b\n"), "dockerfile contains no stages to build");
}

#[test]
fn stages_that_are_not_there_yet_cannot_be_read() {
    let text = "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nFROM a\n";
    let (line, column, message, _) = error(text);
    assert_eq!((line, column), (2, 6));
    assert_eq!(message, "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"");
    let text = "FROM x AS a\nRUN --mount=from=b,target=/b ls\nFROM scratch AS b\nFROM a\n";
    assert!(error(text).2.starts_with("cannot mount from stage \"b\""));
}

#[test]
fn circles_are_found_in_unneeded_stages_and_in_a_stage_alone() {
    let text = "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\nFROM scratch\n";
    assert_eq!(message(text), "circular dependency detected on stage: a");
    assert_eq!(message("FROM scratch AS a\nCOPY --from=a / /\n"), "circular dependency detected on stage: a");
}

#[test]
fn unknown_targets_and_stage_numbers_name_what_there_is() {
    let mut misspelt = options();
    misspelt.target = Some("bulid".to_owned());
    let text = "FROM scratch AS build\nFROM scratch\n";
    let error = lower_with(text, misspelt, &base).expect_err("no such target");
    assert_eq!(error.diagnostic().message, "target stage \"bulid\" could not be found");
    assert_eq!(error.diagnostic().hint.as_deref(), Some("did you mean `build`?"));
    assert_eq!(message("FROM scratch\nCOPY --from=7 a b\n"), "invalid stage index 7");
    assert_eq!(message("FROM scratch\nCOPY --from=-1 a b\n"), "invalid stage index -1");
}

#[test]
fn a_stage_in_upper_case_is_suggested_in_lower_case() {
    let (line, _, message, hint) = error("FROM scratch AS Base\nFROM Base\n");
    assert_eq!(line, 2);
    assert!(message.contains("invalid reference format"), "{message}");
    assert_eq!(hint, "the stage is called `base`");
}

#[test]
fn names_of_stages_are_checked() {
    assert!(message("FROM scratch AS 1st\n").starts_with("invalid name for build stage: \"1st\""));
    assert_eq!(message("ARG x\nFROM $x\n"), "base name ($x) should not be blank");
    assert_eq!(message("FROM --platform=$x a\n"), "empty platform value from expression $x");
    assert!(message("FROM --platform=a/b/c/d a\n").starts_with("failed to parse platform"));
}

#[test]
fn sources_that_only_add_takes_are_refused_for_copy() {
    let hash = "0".repeat(64);
    for (line, wanted) in [
        ("COPY https://x.io/a /".to_owned(), "source can't be a URL for COPY"),
        ("COPY https://x.io/a.git /".to_owned(), "source can't be a git ref for COPY"),
        ("ADD git@x.io:a /".to_owned(), "ADD from a git repository is not supported yet: `git@x.io:a`"),
        (
            "ADD --keep-git-dir https://x.io/a.git /".to_owned(),
            "ADD --keep-git-dir is not supported yet: `https://x.io/a.git`",
        ),
        (format!("ADD --checksum=sha256:{hash} a /"), "checksum requires HTTP(S) or Git sources"),
        (
            format!("ADD --checksum=sha256:{hash} https://x.io/a b /"),
            "checksum can't be specified for multiple sources",
        ),
        ("ADD --checksum=md5:1 https://x.io/a /".to_owned(), "invalid checksum `md5:1`"),
    ] {
        assert_eq!(message(&format!("FROM scratch\n{line}\n")), wanted, "{line}");
    }
}

#[test]
fn a_trigger_of_an_image_fails_at_the_line_that_brought_it() {
    let with_trigger = |trigger: &'static str| {
        let result = lower_with("FROM scratch\nFROM parent\n", options(), &move |image| {
            let mut config = base(image);
            config.on_build.push(trigger.to_owned());
            config
        });
        let error = result.expect_err(trigger);
        assert_eq!(error.span().line, 2, "{trigger}");
        error.diagnostic().message.clone()
    };
    assert!(with_trigger("COPY a").contains("in an ONBUILD trigger of the base image: COPY requires"));
    assert!(with_trigger("ENV a=${b:?no}").contains("b: no"));
    assert!(with_trigger("FROM x").contains("isn't allowed"));
    assert!(with_trigger("RUN a\nRUN b").contains("single expression"));
    assert!(with_trigger("NOPE").contains("unknown instruction"));
    assert!(with_trigger("COPY --from=5 a b").contains("invalid stage index 5"));
}

#[test]
fn a_base_image_that_was_not_provided_is_an_error_and_no_panic() {
    let ast = farm_dockerfile::parse(b"FROM parent\n").unwrap();
    let error = farm_dockerfile::prepare(&ast, options()).unwrap().finish().expect_err("nothing provided");
    assert!(error.diagnostic().message.contains("is not known"));
}

#[test]
fn a_here_document_cannot_name_a_path() {
    assert!(message("FROM scratch\nCOPY <<../x /y\n../x\n").contains("is no file name"));
    assert!(message("FROM a\nRUN <<a/b\n#!/bin/sh\na/b\n").contains("is no file name"));
}

#[test]
fn contexts_do_not_hide_a_bad_reference() {
    let mut given = options();
    given
        .contexts
        .insert("tool".to_owned(), NamedContext::Image(ImageSource::Registry("alpine".parse().unwrap())));
    assert!(lower_with("FROM TOOL:x:y\n", given, &base).is_err());
}
