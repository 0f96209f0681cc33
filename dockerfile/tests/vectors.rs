//! Public test vectors of other implementations.
//!
//! The environment variable `FARM_CONFORMANCE` names the directory that holds them; they are not
//! part of this repository. Without it these tests say so and check nothing; with it, a vector that
//! is missing or does not match is a failure.
#![expect(clippy::print_stdout, reason = "a test says what it checked")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use farm_dockerfile::glob::Glob;
use farm_dockerfile::ignore::IgnorePatterns;
use farm_dockerfile::parser::HeredocWord;
use farm_dockerfile::{Expander, Heredoc, parse};
use serde_json::Value;

type Outcome = Result<(), Box<dyn Error>>;

/// Where the parser's vectors are, if they were given.
fn vectors() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("FARM_CONFORMANCE") {
        return Some(PathBuf::from(given).join("parser"));
    }
    println!("FARM_CONFORMANCE is not set: the public vectors were not given, nothing was checked");
    None
}

/// The cases of a file of vectors.
fn cases(directory: &std::path::Path, name: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let path = directory.join(name);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("`{key}` is not a string in {case}"))
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Fails with all mismatches at once.
fn report(name: &str, checked: usize, wrong: &[String]) {
    println!("{name}: {checked} checked, {} wrong", wrong.len());
    assert!(checked > 0, "{name}: there is nothing to check");
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

#[test]
fn dumps_of_the_parser_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let (mut checked, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(directory.join("parser/testfiles"))? {
        let case = entry?.path();
        let source = fs::read(case.join("Dockerfile"))?;
        let expected = fs::read_to_string(case.join("result"))?;
        checked += 1;
        match parse(&source) {
            Ok(ast) if ast.dump() == expected => {}
            Ok(ast) => wrong.push(format!("{}:\n{}--- wanted:\n{expected}", case.display(), ast.dump())),
            Err(error) => wrong.push(format!("{}: {error}", case.display())),
        }
    }
    report("testfiles", checked, &wrong);
    Ok(())
}

#[test]
fn wrong_dockerfiles_are_rejected() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let (mut checked, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(directory.join("parser/testfiles-negative"))? {
        let case = entry?.path();
        checked += 1;
        // An empty file is not always carried along by archives.
        let source = fs::read(case.join("Dockerfile")).unwrap_or_default();
        if let Ok(ast) = parse(&source) {
            wrong.push(format!("{}: {}", case.display(), ast.dump()));
        }
    }
    report("testfiles-negative", checked, &wrong);
    Ok(())
}

#[test]
fn lines_of_nodes_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let ast = parse(&fs::read(directory.join("parser/testfile-line/Dockerfile"))?)?;
    let lines: Vec<_> = ast.nodes.iter().map(|n| (n.span.line, n.span.end_line)).collect();
    assert_eq!(lines, [(5, 5), (11, 12), (17, 31)]);

    let (mut checked, mut wrong) = (0, Vec::new());
    for case in fs::read_to_string(directory.join("instructions.testfiles.jsonl"))?.lines() {
        let case: Value = serde_json::from_str(case)?;
        let file = text(&case, "file");
        let Ok(ast) = parse(&fs::read(directory.join(file)).unwrap_or_default()) else {
            continue;
        };
        checked += 1;
        let lines: Value =
            ast.nodes.iter().map(|n| Value::from(vec![n.span.line, n.span.end_line])).collect();
        if lines != case["lines"] {
            wrong.push(format!("{file}: {lines}, wanted {}", case["lines"]));
        }
        let warnings = case["parse_warnings"].as_array().map_or(0, Vec::len);
        if warnings != ast.warnings.len() {
            wrong.push(format!("{file}: {:?}", ast.warnings));
        }
        if !text(&case, "escape").starts_with(ast.escape) {
            wrong.push(format!("{file}: escape `{}`", ast.escape));
        }
    }
    report("instructions.testfiles", checked, &wrong);
    Ok(())
}

#[test]
fn words_are_expanded_alike() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let mut wrong = Vec::new();
    let cases = cases(&directory, "vec.shell.word.json")?;
    for case in &cases {
        let envs = env_list(&case["envs"]);
        let result = Expander::new('\\')
            .process_word(text(case, "input"), &|name| envs.get(name).cloned())
            .map(|expansion| expansion.text);
        let expected = (case["error"] == false).then(|| text(case, "expect").to_owned());
        if result.clone().ok() != expected {
            wrong.push(format!("{case}: {result:?}"));
        }
    }
    report("shell.word", cases.len(), &wrong);
    Ok(())
}

#[test]
fn texts_are_split_into_words_alike() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let mut wrong = Vec::new();
    let cases = cases(&directory, "vec.shell.words.json")?;
    for case in &cases {
        let envs = env_list(&case["envs"]);
        let result = Expander::new('\\').process_words(text(case, "input"), &|name| envs.get(name).cloned());
        let agrees = match &result {
            Ok(words) => case["error"] == false && *words == strings(&case["expect"]),
            Err(_) => case["error"] == true,
        };
        if !agrees {
            wrong.push(format!("{case}: {result:?}"));
        }
    }
    report("shell.words", cases.len(), &wrong);
    Ok(())
}

#[test]
fn modifiers_and_matched_names_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let mut wrong = Vec::new();
    let cases = cases(&directory, "vec.shell.process_with_matches.json")?;
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    for case in &cases {
        let env = |name: &str| case["envs"].get(name).and_then(Value::as_str).map(str::to_owned);
        let result = Expander::new('\\').process_word(text(case, "input"), &env);
        let agrees = match &result {
            Ok(expansion) => {
                case["error"] == false
                    && expansion.text == text(case, "expected")
                    && expansion.matched == names(&case["matches"])
                    && expansion.unmatched == names(&case["unmatched"])
            }
            Err(_) => case["error"] == true,
        };
        if !agrees {
            wrong.push(format!("{case}: {result:?}"));
        }
    }
    report("shell.process_with_matches", cases.len(), &wrong);
    Ok(())
}

#[test]
fn heredocs_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let (mut checked, mut wrong) = (0, Vec::new());
    for case in cases(&directory, "vec.parser.heredoc.json")? {
        // One line is no instruction, which this parser rejects and the vectors' own lets through.
        let source = text(&case, "dockerfile").replace("\nINVALID\n", "\nARG INVALID\n");
        let ast = parse(source.as_bytes())?;
        let expected = case["expect_heredocs_of_child_1plus"].as_array().ok_or("no list")?;
        assert_eq!(expected.len(), ast.nodes.len() - 1);
        for (node, expected) in ast.nodes[1..].iter().zip(expected) {
            checked += 1;
            let found: Value = node.heredocs.iter().map(heredoc_value).collect();
            if found != *expected && !(expected.is_null() && node.heredocs.is_empty()) {
                wrong.push(format!("{}: {found}, wanted {expected}", node.original));
            }
        }
    }
    report("parser.heredoc", checked, &wrong);
    Ok(())
}

#[test]
fn heredoc_words_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let (mut checked, mut wrong) = (0, Vec::new());
    for case in cases(&directory, "vec.parser.heredoc_words.json")? {
        for (key, expected) in
            [("invalid", Err(())), ("not_heredoc", Ok(None)), ("valid_name_EOF", Ok(Some("EOF")))]
        {
            for word in strings(&case[key]) {
                checked += 1;
                let found = HeredocWord::parse(word).map(|word| word.map(|word| word.name));
                if found.clone().map_err(drop) != expected.map(|name| name.map(str::to_owned)) {
                    wrong.push(format!("{word}: {found:?}"));
                }
            }
        }
    }
    for case in cases(&directory, "vec.parser.heredocs_from_line.json")? {
        checked += 1;
        let names = strings(&case["names"]);
        let ast = parse(format!("{}\n{}\n", text(&case, "line"), names.join("\n")).as_bytes())?;
        let found: Vec<_> = ast.nodes[0].heredocs.iter().map(|h| h.name.as_str()).collect();
        if found != names {
            wrong.push(format!("{case}: {found:?}"));
        }
    }
    report("parser.heredoc_words", checked, &wrong);
    Ok(())
}

#[test]
fn exec_forms_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let mut wrong = Vec::new();
    let cases = cases(&directory, "vec.parser.json_array.json")?;
    for case in &cases {
        let found = parse(format!("CMD {}", text(case, "input")).as_bytes());
        let agrees = match &found {
            Ok(ast) => {
                let node = &ast.nodes[0];
                node.json && node.arg_texts().collect::<Vec<_>>() == strings(&case["expect"])
            }
            Err(_) => case["error"] == true,
        };
        if !agrees {
            wrong.push(format!("{case}: {found:?}"));
        }
    }
    report("parser.json_array", cases.len(), &wrong);
    Ok(())
}

#[test]
fn quoted_words_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let mut wrong = Vec::new();
    let cases = cases(&directory, "vec.parser.words.json")?;
    for case in &cases {
        let ast = parse(format!("ARG {}", text(case, "input")).as_bytes())?;
        let found: Vec<_> = ast.nodes[0].arg_texts().collect();
        if found != strings(&case["expect"]) {
            wrong.push(format!("{case}: {found:?}"));
        }
    }
    report("parser.words", cases.len(), &wrong);
    Ok(())
}

#[test]
fn ignore_patterns_agree() -> Outcome {
    let Some(directory) = vectors() else { return Ok(()) };
    let (mut checked, mut wrong) = (0, Vec::new());
    for case in cases(&directory, "vec.patternmatcher.match.json")? {
        checked += 1;
        let found = IgnorePatterns::new(strings(&case["patterns"])).map(|p| p.matches(text(&case, "text")));
        if found.as_ref().ok() != case["match"].as_bool().as_ref() {
            wrong.push(format!("{case}: {found:?}"));
        }
    }
    for case in cases(&directory, "vec.patternmatcher.glob.json")? {
        checked += 1;
        let (pattern, path) = (text(&case, "pattern"), text(&case, "text"));
        let expected = (case["error"] == false).then(|| case["match"] == true);
        let found = IgnorePatterns::new([pattern]).map(|p| p.matches(path));
        if found.clone().ok() != expected {
            wrong.push(format!("{case}: {found:?}"));
        }
        // The vectors also let a directory above match, which a plain glob does not.
        let found = Glob::new(pattern).map(|glob| {
            path.match_indices('/').any(|(at, _)| glob.matches(&path[..at])) || glob.matches(path)
        });
        if found.clone().ok() != expected {
            wrong.push(format!("{case}: {found:?} as a glob"));
        }
    }
    report("patternmatcher", checked, &wrong);
    Ok(())
}

/// `name=value` strings; a later one wins.
fn env_list(envs: &Value) -> BTreeMap<String, String> {
    strings(envs)
        .into_iter()
        .map(|env| env.split_once('=').unwrap_or((env, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn heredoc_value(heredoc: &Heredoc) -> Value {
    serde_json::json!({
        "Name": heredoc.name,
        "FileDescriptor": heredoc.fd,
        "Expand": heredoc.expand,
        "Chomp": heredoc.chomp,
        "Content": heredoc.content,
    })
}
