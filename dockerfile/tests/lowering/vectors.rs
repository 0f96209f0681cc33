//! Vectors of the typed instructions.

use std::fs;

use farm_dockerfile::instruction::{
    self, CommandLine, Form, Instruction, Kind, MountType, NetworkMode, Pair, Transfer,
};
use farm_dockerfile::parser::parse_up_to_error;
use farm_dockerfile::{Node, parse};
use farm_model::op::Sharing;
use serde_json::{Value, json};

use crate::support::{directory, health};

fn read(name: &str) -> Option<String> {
    let path = directory("FARM_CONFORMANCE")?.join("parser").join(name);
    Some(fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn vectors(name: &str) -> Option<Vec<Value>> {
    read(name).map(|text| serde_json::from_str(&text).unwrap())
}

fn first(text: &str) -> Result<Instruction, farm_dockerfile::Error> {
    let (ast, error) = parse_up_to_error(text.as_bytes());
    ast.nodes.first().map_or_else(|| Err(error.unwrap()), instruction::parse)
}

#[test]
fn wrong_instructions_are_refused_in_the_words_that_users_know() {
    let Some(vectors) = vectors("vec.instructions.error.json") else { return };
    for vector in &vectors {
        let text = vector["dockerfile"].as_str().unwrap();
        let error = first(text).expect_err(text);
        let wanted = vector["error_contains"].as_str().unwrap();
        assert!(error.diagnostic().message.contains(wanted), "{text:?}: {error} lacks {wanted:?}");
        assert!(error.diagnostic().hint.is_some(), "{text:?} has no hint");
    }
    println!("{} vectors", vectors.len());
}

/// An empty list is `null` where Go has a nil slice.
fn list(values: Vec<Value>) -> Value {
    if values.is_empty() { Value::Null } else { Value::Array(values) }
}

fn text(word: Option<&farm_dockerfile::Word>) -> &str {
    word.map_or("", |word| word.text.as_str())
}

fn sources(transfer: &Transfer) -> Value {
    let contents = transfer
        .inline
        .iter()
        .map(|inline| json!({ "Path": inline.name, "Data": inline.content, "Expand": inline.expand }));
    json!({
        "DestPath": transfer.destination.text,
        "SourcePaths": list(transfer.sources.iter().map(|word| json!(word.text)).collect()),
        "SourceContents": list(contents.collect()),
    })
}

#[test]
fn heredocs_become_sources_of_copy() {
    let Some(vectors) = vectors("vec.instructions.copy_heredoc.json") else { return };
    for vector in &vectors {
        let Kind::Transfer(transfer) = first(vector["dockerfile"].as_str().unwrap()).unwrap().kind else {
            panic!("no COPY: {vector}")
        };
        assert_eq!(sources(&transfer), vector["expect"], "{vector}");
    }
    println!("{} vectors", vectors.len());
}

fn files(command: &CommandLine) -> Value {
    let files = command.heredocs.iter();
    list(files.map(|file| json!({ "Name": file.name, "Data": file.content, "Chomp": file.chomp })).collect())
}

#[test]
fn heredocs_belong_to_the_command_of_run() {
    let Some(vectors) = vectors("vec.instructions.run_heredoc.json") else { return };
    for vector in &vectors {
        let Kind::Run(run) = first(vector["dockerfile"].as_str().unwrap()).unwrap().kind else {
            panic!("no RUN: {vector}")
        };
        assert_eq!(json!(run.command.words), vector["command"], "{vector}");
        assert_eq!(json!(run.command.form == Form::Shell), vector["shell"], "{vector}");
        assert_eq!(files(&run.command), vector["files"], "{vector}");
    }
    println!("{} vectors", vectors.len());
}

fn pairs(pairs: &[Pair]) -> Value {
    let pair =
        |pair: &Pair| json!({ "Key": pair.name.text, "NoDelim": pair.legacy, "Value": pair.value.text });
    Value::Array(pairs.iter().map(pair).collect())
}

fn command(command: &CommandLine) -> Value {
    json!({ "CmdLine": command.words, "Files": files(command), "PrependShell": command.form == Form::Shell })
}

fn words(words: &[farm_dockerfile::Word]) -> Value {
    Value::Array(words.iter().map(|word| json!(word.text)).collect())
}

/// The fields of an instruction under the names that the vectors use.
fn fields(instruction: &Instruction) -> Value {
    match &instruction.kind {
        Kind::Env(env) => json!({ "Env": pairs(env) }),
        Kind::Label(labels) => json!({ "Labels": pairs(labels) }),
        Kind::Arg(definitions) => json!({ "Args": definitions.iter().map(|definition| json!({
            "DocComment": instruction.documentation(&definition.name.text).unwrap_or_default(), "Key": definition.name.text, "Value": definition.value.as_ref().map(|word| &word.text),
        })).collect::<Vec<_>>() }),
        Kind::Cmd(line) | Kind::Entrypoint(line) => command(line),
        Kind::Run(run) => {
            let mut fields = command(&run.command);
            fields["FlagsUsed"] = json!(run.flags);
            fields
        }
        Kind::Expose(ports) => json!({ "Ports": words(ports) }),
        Kind::Volume(volumes) => json!({ "Volumes": words(volumes) }),
        Kind::User(user) => json!({ "User": user.text }),
        Kind::Workdir(path) => json!({ "Path": path.text }),
        Kind::StopSignal(signal) => json!({ "Signal": signal.text }),
        Kind::Maintainer(name) => json!({ "Maintainer": name }),
        Kind::Shell(shell) => json!({ "Shell": shell }),
        Kind::Onbuild(onbuild) => json!({ "Expression": onbuild.expression }),
        Kind::Transfer(transfer) => {
            let mut fields = sources(transfer);
            fields["Chmod"] = json!(text(transfer.chmod.as_ref()));
            fields["Chown"] = json!(text(transfer.chown.as_ref()));
            fields["ExcludePatterns"] = list(transfer.exclude.iter().map(|word| json!(word.text)).collect());
            fields["Link"] = json!(transfer.link);
            if transfer.add {
                fields["Checksum"] = json!(text(transfer.checksum.as_ref()));
                fields["KeepGitDir"] = json!(transfer.keep_git_dir.as_ref().map(|word| word.text == "true"));
                fields["Unpack"] = json!(transfer.unpack);
            } else {
                fields["From"] = json!(text(transfer.from.as_ref()));
                fields["Parents"] = json!(transfer.parents);
            }
            fields
        }
        Kind::Health(check) => json!({ "Health": health(&check.0) }),
        Kind::From(_) => Value::Null,
    }
}

/// A mount with its values as they stand.
fn mount(spec: &instruction::MountSpec) -> Value {
    let options = spec.evaluate(&|text| Ok(text.to_owned())).unwrap();
    let writable = matches!(options.kind, MountType::Cache | MountType::Tmpfs);
    let sharing = options.sharing.map_or("", |sharing| match sharing {
        Sharing::Shared => "shared",
        Sharing::Private => "private",
        Sharing::Locked => "locked",
    });
    json!({
        "Type": options.kind.name(),
        "From": text(spec.from.as_ref()),
        "Source": options.source,
        "Target": options.target,
        "ReadOnly": options.read_only.unwrap_or(!writable),
        "SizeLimit": options.size.unwrap_or(0),
        "CacheID": options.id,
        "CacheSharing": sharing,
        "Required": options.required,
        "Env": options.env,
        "Mode": options.mode,
        "UID": options.uid,
        "GID": options.gid,
    })
}

/// Compares the stages and their commands; the count of compared commands.
pub(crate) fn compare(file: &str, nodes: &[Node], stages: &[Value]) -> usize {
    let instructions: Vec<Instruction> = nodes.iter().map(|node| instruction::parse(node).unwrap()).collect();
    let mut commands = stages
        .iter()
        .flat_map(|stage| std::iter::once(stage).chain(stage["commands"].as_array().into_iter().flatten()));
    let mut compared = 0;
    let start =
        instructions.iter().position(|instruction| matches!(instruction.kind, Kind::From(_))).unwrap();
    for instruction in &instructions[start..] {
        let wanted = commands.next().unwrap_or_else(|| panic!("{file}: more instructions than expected"));
        let kind = &instruction.kind;
        if let Kind::From(from) = kind {
            assert_eq!(json!(from.base.text), wanted["base"], "{file}");
            let name = text(from.name.as_ref());
            assert_eq!(json!(name), wanted["name"], "{file}");
            assert_eq!(
                json!(instruction.documentation(name).unwrap_or_default()),
                wanted["comment"],
                "{file}"
            );
            assert_eq!(json!(text(from.platform.as_ref())), wanted["platform"], "{file}");
        } else {
            assert_eq!(json!(kind.name()), wanted["name"], "{file}");
            assert_eq!(fields(instruction), wanted["fields"], "{file}: {}", kind.name());
        }
        if let Kind::Run(run) = &instruction.kind {
            assert_eq!(run.network, NetworkMode::Default, "{file}");
            let found: Vec<Value> = run.mounts.iter().map(mount).collect();
            assert_eq!(json!(found), wanted["mounts"], "{file}");
        }
        compared += 1;
    }
    assert!(commands.next().is_none(), "{file}: fewer instructions than expected");
    compared
}

#[test]
fn typed_instructions_hold_the_fields_that_are_known() {
    let Some(text) = read("instructions.testfiles.jsonl") else { return };
    let root = directory("FARM_CONFORMANCE").unwrap().join("parser");
    let mut compared = 0;
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let file = vector["file"].as_str().unwrap();
        let source = fs::read(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let parsed = parse(&source);
        if vector.get("parse_error").is_some() {
            assert!(parsed.is_err(), "{file} must not parse");
            continue;
        }
        let ast = parsed.unwrap_or_else(|error| panic!("{file}: {error}"));
        if let Some(wanted) = vector.get("instructions_error") {
            let failed = ast.nodes.iter().any(|node| instruction::parse(node).is_err());
            let starts_without_stage = ast.nodes[0].keyword != "from";
            assert!(failed || starts_without_stage, "{file} must be refused: {wanted}");
            continue;
        }
        compared += compare(file, &ast.nodes, vector["stages"].as_array().unwrap());
    }
    println!("{compared} instructions");
    assert!(compared > 50);
}
