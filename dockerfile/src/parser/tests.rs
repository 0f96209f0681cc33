//! What a user sees of the parser, one behaviour a test.

use super::*;
use crate::ast::DirectiveName;

fn ast(source: &str) -> Ast {
    match parse(source.as_bytes()) {
        Ok(ast) => ast,
        Err(error) => panic!("{}", error.diagnostic().render("Dockerfile", source)),
    }
}

fn error(source: &str) -> Diagnostic {
    parse(source.as_bytes()).unwrap_err().diagnostic().clone()
}

#[test]
fn byte_order_mark_and_shebang_are_skipped() {
    let ast = ast("\u{feff}#!/usr/bin/env docker\n# escape=`\nFROM a `\n as b\n");
    assert_eq!(ast.escape, '`');
    assert_eq!(ast.directive(DirectiveName::Escape), Some("`"));
    assert_eq!(ast.dump(), "(from \"a\" \"as\" \"b\")\n");
    assert_eq!(super::parse("\u{feff}FROM a".as_bytes()).unwrap().nodes[0].keyword_span.column, 1);
}

#[test]
fn blank_line_before_a_directive_makes_it_a_comment() {
    assert_eq!(ast("\n# escape=`\nFROM a").escape, '\\');
    assert_eq!(ast("# just text\n# escape=`\nFROM a").escape, '\\');
}

#[test]
fn duplicate_directive_points_at_the_second() {
    let error = error("# syntax=a\n# SYNTAX=b\nFROM a\n");
    assert_eq!(error.span.line, 2);
    assert!(error.message.contains("only one `syntax`"), "{}", error.message);
}

#[test]
fn instruction_names_are_case_insensitive_and_kept_as_written() {
    let node = &ast("fRoM a").nodes[0];
    assert_eq!((node.keyword.as_str(), node.original_keyword.as_str()), ("from", "fRoM"));
}

#[test]
fn comments_inside_continuations_vanish_and_empty_lines_warn() {
    let ast = ast("FROM a\nRUN a \\\n  # not \\\n\n  && b\nRUN c\n");
    assert_eq!(ast.dump(), "(from \"a\")\n(run \"a   && b\")\n(run \"c\")\n");
    assert_eq!(ast.warnings.len(), 1);
    assert_eq!(ast.warnings[0].span.line, 4);
    assert!(ast.warnings[0].message.contains("`RUN`"));
}

#[test]
fn words_behind_continuations_point_at_their_physical_line() {
    let ast = ast("FROM a\n  COPY --link \\\n # x\n   --from=b \\\n  c\\\nd /\n");
    let node = &ast.nodes[1];
    assert_eq!(node.keyword_span, Span { line: 2, column: 3, end_line: 2, end_column: 7 });
    assert_eq!(node.flags[1].span, Span { line: 4, column: 4, end_line: 4, end_column: 12 });
    assert_eq!(node.args[0].text, "cd");
    assert_eq!(node.args[0].span, Span { line: 5, column: 3, end_line: 6, end_column: 2 });
    assert_eq!(node.span, Span { line: 2, column: 3, end_line: 6, end_column: 4 });
    assert_eq!(node.original, "COPY --link    --from=b   cd /");
}

#[test]
fn line_ends_of_windows_do_not_matter() {
    let ast = ast("FROM a\r\nRUN b \\\r\n  c\r\nRUN <<E\r\nx\r\nE\r\n");
    assert_eq!(ast.dump(), "(from \"a\")\n(run \"b   c\")\n(run \"<<E\")\n");
    assert_eq!(ast.nodes[2].heredocs[0].content, "x\r\n");
}

#[test]
fn json_form_falls_back_to_the_shell_form() {
    let ast = ast("CMD [\"a\", \"b c\"]\nCMD [\"a\", 'b']\nVOLUME [\"/a\"]\nVOLUME /a /b\n");
    let json: Vec<_> = ast.nodes.iter().map(|n| (n.json, n.args.len())).collect();
    assert_eq!(json, [(true, 2), (false, 1), (true, 1), (false, 2)]);
    let error = error("CMD [\"a\", 1]");
    assert!(error.message.contains("nothing but strings"), "{}", error.message);
    assert_eq!(error.span.column, 5);
}

#[test]
fn healthcheck_has_a_type_and_a_command() {
    let ast = ast("HEALTHCHECK --retries=3 CMD [\"a\", \"b\"]\nHEALTHCHECK NONE\nHEALTHCHECK cmd  a b\n");
    assert_eq!(
        ast.dump(),
        "(healthcheck [\"--retries=3\"] \"CMD\" \"a\" \"b\")\n(healthcheck \"NONE\")\n\
         (healthcheck \"cmd\" \"a b\")\n"
    );
    assert!(ast.nodes[0].json && !ast.nodes[2].json);
}

#[test]
fn heredocs_are_read_in_the_order_of_the_line() {
    let ast = ast("FROM a\nCOPY <<A 3<<-'B' /x/\none\nA\n\ttwo $y\n\tB\nRUN c\n");
    let heredocs = &ast.nodes[1].heredocs;
    assert_eq!(heredocs[0].content, "one\n");
    assert!(heredocs[0].expand && !heredocs[0].chomp);
    assert_eq!((heredocs[1].fd, heredocs[1].chomped().as_str()), (3, "two $y\n"));
    assert!(!heredocs[1].expand && heredocs[1].chomp);
    assert_eq!(heredocs[1].span, Span { line: 5, column: 1, end_line: 6, end_column: 3 });
    assert_eq!((ast.nodes[1].span.line, ast.nodes[1].span.end_line), (2, 6));
    assert_eq!(ast.nodes[2].span.line, 7);
}

#[test]
fn heredoc_word_of_copy_stays_in_one_piece() {
    let ast = ast("COPY << A <<'b c' /x/\nA\nb c\n");
    assert_eq!(ast.nodes[0].arg_texts().collect::<Vec<_>>(), ["<< A", "<<'b c'", "/x/"]);
    assert_eq!(ast.nodes[0].heredocs[1].name, "b c");
}

#[test]
fn heredoc_under_onbuild_belongs_to_the_inner_instruction() {
    let ast = ast("ONBUILD RUN <<A\nx\nA\nRUN b");
    let inner = ast.nodes[0].onbuild.as_ref().unwrap();
    assert_eq!(inner.heredocs[0].content, "x\n");
    assert_eq!((inner.span.column, inner.span.end_line), (9, 3));
    assert_eq!(inner.original, "RUN <<A");
    assert_eq!(ast.nodes.len(), 2);
}

#[test]
fn heredoc_is_none_in_exec_form_and_in_other_instructions() {
    let ast = ast("RUN [\"<<A\"]\nUSER <<B\nRUN \"<<C\"\n");
    assert!(ast.nodes.iter().all(|node| node.heredocs.is_empty()));
}

#[test]
fn unterminated_heredoc_points_at_its_word() {
    let error = error("FROM a\nRUN cat <<EOF > x\nabc\nEOF2\n");
    assert_eq!(error.span, Span { line: 2, column: 9, end_line: 2, end_column: 14 });
    assert!(error.message.contains("unterminated heredoc `EOF`"), "{}", error.message);
}

#[test]
fn env_and_label_have_two_forms() {
    let ast = ast("ENV a b c\nLABEL x=\"1 2\" y=3\nENV e=\n");
    assert_eq!(
        ast.dump(),
        "(env \"a\" \"b c\" \"\")\n(label \"x\" \"\\\"1 2\\\"\" \"=\" \"y\" \"3\" \"=\")\n\
         (env \"e\" \"\" \"=\")\n"
    );
    assert_eq!(ast.nodes[1].args[1].span, Span { line: 2, column: 9, end_line: 2, end_column: 14 });
    assert!(error("ENV a").message.contains("ENV must have two arguments"));
    let error = error("ENV a=1 b");
    assert_eq!((error.message.as_str(), error.span.column), ("`b` has no `=`", 9));
}

#[test]
fn file_without_instructions_is_an_error() {
    for source in ["", "\n\n", "# a\n# b\n", "\u{feff}", "#!/bin/x"] {
        assert!(error(source).message.contains("no instructions"), "{source:?}");
    }
    assert!(error("\\\n").message.contains("without an instruction"));
}

#[test]
fn unknown_instruction_suggests_the_nearest() {
    let error = error("FROM a\n  COYP a b\n");
    assert_eq!(error.message, "unknown instruction: COYP");
    assert_eq!(error.hint.as_deref(), Some("did you mean `COPY`?"));
    assert_eq!(error.span, Span { line: 2, column: 3, end_line: 2, end_column: 7 });
}

#[test]
fn what_stands_before_an_error_is_kept_for_checks() {
    let (ast, error) = parse_up_to_error(b"# check=skip=all\nFROM a\nRUN b\nBAD\nRUN c\n");
    assert_eq!(ast.dump(), "(from \"a\")\n(run \"b\")\n");
    assert_eq!(ast.directive(DirectiveName::Check), Some("skip=all"));
    assert_eq!(error.unwrap().span().line, 4);
}

#[test]
fn onbuild_does_not_chain() {
    assert!(error("ONBUILD onbuild RUN a").message.contains("ONBUILD ONBUILD"));
    assert_eq!(ast("ONBUILD").nodes[0].onbuild, None);
}

#[test]
fn comments_above_an_instruction_are_kept_until_a_gap() {
    let ast = ast("# gone\n\n# first\n#\n# second\n#  third \nFROM a\nRUN b");
    assert_eq!(ast.nodes[0].comments, ["second", "third"]);
    assert!(ast.nodes[1].comments.is_empty());
}

#[test]
fn bytes_that_are_not_text_are_allowed_in_comments_only() {
    assert!(parse(b"# \xff\nFROM a\nRUN a \\\n# \xfe\n b").is_ok());
    let error = parse(b"FROM a\nRUN \xc3\xa9\xff").unwrap_err();
    assert_eq!((error.span().line, error.span().column), (2, 6));
    assert!(parse(b"RUN <<A\n\xff\nA\n").is_err());
}

#[test]
fn continuation_at_the_end_of_the_file_is_harmless() {
    let ast = ast("RUN a \\");
    assert_eq!(ast.dump(), "(run \"a\")\n");
    let ast = super::parse(b"RUN a \\\n\n\n").unwrap();
    assert_eq!(ast.nodes[0].span.end_line, 3);
}

#[test]
fn line_of_many_words_is_parsed_in_linear_time() {
    let line = format!("FROM {}", "é ".repeat(300_000));
    let started = std::time::Instant::now();
    assert_eq!(ast(&line).nodes[0].args.len(), 300_000);
    assert!(started.elapsed().as_secs() < 5);
}
