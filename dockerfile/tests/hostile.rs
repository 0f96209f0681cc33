//! Nothing that a stranger can write makes the front end panic or lose its bearings.
#![expect(clippy::unwrap_used, reason = "a test")]

use farm_dockerfile::glob::{Glob, PathPattern};
use farm_dockerfile::ignore::{IgnorePatterns, clean};
use farm_dockerfile::{Ast, Expander, Node, Span, parse};
use proptest::prelude::*;

/// Text that looks enough like a Dockerfile to reach the corners of the parser.
fn dockerfile_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "FROM",
            "RUN",
            "COPY",
            "ENV",
            "LABEL",
            "ONBUILD",
            "HEALTHCHECK",
            "CMD",
            "ARG",
            "#",
            "# escape=`",
            "# syntax=x",
            "<<EOF",
            "<<-'EOF'",
            "3<<",
            "<<",
            "EOF",
            "\n",
            "\n",
            "\r\n",
            "\\\n",
            "\\ \n",
            "`\n",
            "\\",
            "`",
            " ",
            " ",
            "\t",
            "--a=b",
            "--",
            "\"",
            "'",
            "[",
            "]",
            ",",
            "[\"a\"",
            "\\u12",
            "=",
            "a=b",
            "$",
            "é",
            "\u{feff}",
            "\u{a0}",
            "\u{85}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn substitution_like() -> impl Strategy<Value = String> {
    let pieces = vec![
        "$", "${", "}", ":", "-", "+", "?", "#", "##", "%", "%%", "/", "//", "\\", "`", "'", "\"", "*", " ",
        "a", "b", "é", "1", "[", "${a:-", "${a#", "${a//",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..30).prop_map(|pieces| pieces.concat())
}

fn pattern_like() -> impl Strategy<Value = String> {
    let pieces =
        vec!["*", "**", "**/", "?", "/", "\\", "[", "]", "^", "-", "!", "a", "b", "é", ".", "..", " "];
    prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat())
}

/// All spans of a node, its ONBUILD instruction included.
fn spans(node: &Node, out: &mut Vec<Span>) {
    out.extend([node.span, node.keyword_span]);
    out.extend(node.flags.iter().map(|flag| flag.span));
    out.extend(node.args.iter().map(|word| word.span));
    out.extend(node.heredocs.iter().map(|heredoc| heredoc.span));
    if let Some(inner) = &node.onbuild {
        spans(inner, out);
    }
}

/// Each span starts and ends at a place that the source has.
fn check_spans(ast: &Ast, source: &[u8]) {
    let source = String::from_utf8_lossy(source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source));
    let widths: Vec<u32> =
        source.split('\n').map(|line| u32::try_from(line.chars().count()).unwrap()).collect();
    let width = |line: u32| widths[usize::try_from(line).unwrap() - 1];
    let mut all = Vec::new();
    ast.nodes.iter().for_each(|node| spans(node, &mut all));
    for span in all {
        assert!(span.column >= 1 && span.column <= width(span.line) + 1, "{span:?}");
        assert!(span.end_column >= 1 && span.end_column <= width(span.end_line) + 1, "{span:?}");
        assert!((span.line, span.column) <= (span.end_line, span.end_column), "{span:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_parse_or_fail(source in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(error) = parse(&source) {
            let _ = error.diagnostic().render("Dockerfile", &String::from_utf8_lossy(&source));
        }
    }

    #[test]
    fn dockerfile_like_bytes_parse_or_fail_and_spans_stay_inside(source in dockerfile_like()) {
        let text = String::from_utf8_lossy(&source);
        match parse(&source) {
            Ok(ast) => {
                check_spans(&ast, &source);
                let _ = ast.dump();
                for warning in &ast.warnings {
                    let _ = warning.render("Dockerfile", &text);
                }
            }
            Err(error) => {
                let _ = error.diagnostic().render("Dockerfile", &text);
            }
        }
    }

    #[test]
    fn any_text_expands_or_fails(text in any::<String>(), values in any::<bool>()) {
        let env = |name: &str| values.then(|| name.repeat(2));
        for expander in [Expander::new('\\'), Expander::new('`'), Expander::for_heredoc('\\')] {
            let _ = expander.process_word(&text, &env);
        }
    }

    #[test]
    fn substitutions_expand_or_fail(text in substitution_like(), value in substitution_like()) {
        let env = |name: &str| (name == "a").then(|| value.clone());
        for expander in [Expander::new('\\'), Expander::new('`'), Expander::for_heredoc('\\')] {
            if let Err(error) = expander.process_word(&text, &env) {
                error.at(Span::at(1, 1));
            }
            let _ = expander.process_words(&text, &env);
        }
    }

    #[test]
    fn text_without_special_characters_is_its_own_expansion(text in "[a-zé0-9 .:/=_-]*") {
        let expansion = Expander::new('\\').process_word(&text, &|_| None);
        prop_assert_eq!(expansion.unwrap().text, text);
    }

    #[test]
    fn any_ignore_file_is_read_or_rejected(source in prop::collection::vec(any::<u8>(), 0..200), path in any::<String>()) {
        if let Ok(patterns) = IgnorePatterns::parse(&source) {
            patterns.matches(&path);
        }
    }

    #[test]
    fn skipped_directories_hold_nothing_that_is_kept(
        lines in prop::collection::vec(pattern_like(), 0..5),
        parts in prop::collection::vec("[ab.é]{1,2}", 1..5),
    ) {
        let Ok(patterns) = IgnorePatterns::new(&lines) else { return Ok(()) };
        let whole = clean(&parts.join("/"));
        prop_assume!(!whole.starts_with('.'));
        let mut verdict = patterns.root();
        let mut skipped = false;
        for (at, _) in whole.match_indices('/') {
            verdict = patterns.below(verdict, &whole[..at]);
            skipped |= patterns.may_skip(verdict, &whole[..at]);
        }
        verdict = patterns.below(verdict, &whole);
        prop_assert_eq!(verdict.is_ignored(), patterns.matches(&whole));
        prop_assert!(!skipped || verdict.is_ignored());
    }

    #[test]
    fn directory_without_matches_below_has_none(pattern in pattern_like(), path in "[abé]{1,2}(/[abé]{1,2}){0,3}") {
        if let Ok(glob) = PathPattern::new(&pattern) && glob.matches(&path) {
            for (at, _) in path.match_indices('/') {
                prop_assert!(glob.may_match_below(&path[..at]));
            }
        }
        if let Ok(glob) = Glob::new(&pattern) && glob.matches(&path) {
            for (at, _) in path.match_indices('/') {
                prop_assert!(glob.may_match_below(&path[..at]));
            }
        }
    }

    #[test]
    fn any_pattern_matches_any_bytes_or_not(pattern in any::<String>(), path in prop::collection::vec(any::<u8>(), 0..50)) {
        if let Ok(glob) = Glob::new(&pattern) {
            glob.matches(&path);
            glob.may_match_below(&path);
        }
    }

    #[test]
    fn cleaning_a_clean_path_changes_nothing(path in "[a./]{0,12}") {
        let once = clean(&path);
        prop_assert_eq!(clean(&once), once);
    }
}
