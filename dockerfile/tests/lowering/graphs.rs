//! What Dockerfiles come to.

use farm_dockerfile::{Lowered, NamedContext, NoCache};
use farm_model::graph::Image;
use farm_model::op::{Copy, MountKind, Network, Origin, Run, Sharing, Source, Unpack};
use farm_model::{Base, ContextName, ImageId, ImageSource, Op, StageId, Step};

use crate::support::{base, lower, lower_with, options, target};

fn steps(lowered: &Lowered) -> &[Step] {
    &target(lowered).steps
}

fn history(text: &str) -> Vec<String> {
    steps(&lower(text).unwrap()).iter().map(|step| step.created_by.clone()).collect()
}

fn run(step: &Step) -> &Run {
    let Op::Run(run) = &step.op else { panic!("no RUN: {step:?}") };
    run
}

fn copy(step: &Step) -> &Copy {
    let Op::Copy(copy) = &step.op else { panic!("no COPY: {step:?}") };
    copy
}

fn last_run(text: &str) -> Run {
    run(steps(&lower(text).unwrap()).last().unwrap()).clone()
}

fn last_copy(text: &str) -> Copy {
    copy(steps(&lower(text).unwrap()).last().unwrap()).clone()
}

fn value<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[test]
fn history_reads_as_docker_history_shows_it() {
    let text = r#"FROM x
ARG A=b
ENV C=d
RUN echo hi
COPY --chown=1:2 --chmod=0644 a b /
LABEL l="m n"
EXPOSE 81/udp 80
VOLUME ["/v", "/w"]
USER u
WORKDIR /x
SHELL ["/bin/ash", "-c"]
STOPSIGNAL 9
HEALTHCHECK --retries=3 CMD true
ENTRYPOINT ["e"]
CMD run "it"
ONBUILD RUN y
MAINTAINER me
ADD <<f /d
z
f
"#;
    assert_eq!(
        history(text),
        [
            "ARG A=b",
            "ENV C=d",
            "RUN |1 A=b /bin/sh -c echo hi # buildkit",
            "COPY --chown=1:2 --chmod=0644 a b / # buildkit",
            "LABEL l=m n",
            "EXPOSE [80/tcp 81/udp]",
            "VOLUME [/v /w]",
            "USER u",
            "WORKDIR /x",
            "SHELL [/bin/ash -c]",
            "STOPSIGNAL 9",
            r#"HEALTHCHECK &{["CMD-SHELL" "true"] "0s" "0s" "0s" "0s" '\x03'}"#,
            r#"ENTRYPOINT ["e"]"#,
            r#"CMD ["/bin/ash" "-c" "run \"it\""]"#,
            "MAINTAINER me",
            "ADD <<f /d # buildkit",
        ]
    );
}

#[test]
fn steps_are_named_with_their_variables_expanded() {
    let text = "FROM x\nENV v=1.2\nRUN get \"$v\" $unset\ncopy a-$v /\nRUN <<EOF\nset -e\nmake\nEOF\n";
    let lowered = lower(text).unwrap();
    let names: Vec<&str> = steps(&lowered).iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["ENV v=1.2", "RUN get \"1.2\" $unset", "COPY a-1.2 /", "RUN <<EOF (set -e...)"]);
    assert_eq!(steps(&lowered)[3].lines, Some((5, 8)));
}

#[test]
fn run_sees_env_and_declared_arguments_in_order() {
    let mut given = options();
    given.build_args.insert("A".to_owned(), "given".to_owned());
    given.build_args.insert("http_proxy".to_owned(), "p".to_owned());
    given.build_args.insert("UNUSED".to_owned(), "u".to_owned());
    let text = "ARG G=g\nFROM x\nARG A\nARG B\nARG G\nARG D=$A-d\nENV E=e\nRUN x\n";
    let lowered = lower_with(text, given, &base).unwrap();
    let run = run(steps(&lowered).last().unwrap());
    let names: Vec<&str> = run.env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PATH", "A", "G", "D", "E"]);
    assert_eq!(value(&run.env, "D"), Some("given-d"));
    assert_eq!(
        run.unkeyed_env,
        [("HTTP_PROXY".to_owned(), "p".to_owned()), ("http_proxy".to_owned(), "p".to_owned())]
    );
    assert_eq!(lowered.warnings.len(), 1);
    assert!(lowered.warnings[0].message.contains("`UNUSED`"), "{}", lowered.warnings[0]);
}

#[test]
fn a_declared_proxy_is_part_of_the_key() {
    let mut given = options();
    given.build_args.insert("HTTP_PROXY".to_owned(), "p".to_owned());
    let lowered = lower_with("FROM x\nARG HTTP_PROXY\nRUN y\n", given, &base).unwrap();
    let run = run(steps(&lowered).last().unwrap());
    assert_eq!(value(&run.env, "HTTP_PROXY"), Some("p"));
    assert_eq!(run.unkeyed_env, [("http_proxy".to_owned(), "p".to_owned())]);
}

#[test]
fn one_instruction_sees_one_snapshot() {
    let lowered = lower("FROM x\nENV a=1\nENV a=2 b=$a\n").unwrap();
    assert_eq!(target(&lowered).config.env("b"), Some("1"));
}

#[test]
fn global_arguments_are_seen_in_from_and_where_they_are_declared_again() {
    let text = "ARG v=1\nFROM image:$v\nENV a=$v\nARG v\nENV b=$v\n";
    let lowered = lower(text).unwrap();
    let config = &target(&lowered).config;
    assert_eq!((config.env("a"), config.env("b")), (Some(""), Some("1")));
    let ImageSource::Registry(reference) = &lowered.graph.images[0].source else { panic!("no registry") };
    assert_eq!(reference.familiar(), "image:1");
}

#[test]
fn arguments_reach_the_stages_that_start_from_theirs() {
    let text = "FROM x AS a\nARG v=1\nFROM a\nRUN y\nARG v\nRUN z\n";
    let lowered = lower(text).unwrap();
    for step in [0, 2] {
        assert_eq!(value(&run(&steps(&lowered)[step]).env, "v"), Some("1"));
    }
}

#[test]
fn an_argument_stands_in_for_an_env_until_the_next_stage() {
    let text = "FROM x AS a\nENV v=env\nARG v=arg\nRUN y\nFROM a\nRUN z\n";
    let lowered = lower(text).unwrap();
    let first = &lowered.graph.stages[0];
    assert_eq!(value(&run(first.steps.last().unwrap()).env, "v"), Some("arg"));
    assert_eq!(first.config.env("v"), Some("env"));
    assert_eq!(value(&run(&steps(&lowered)[0]).env, "v"), Some("env"));
}

#[test]
fn platform_arguments_are_there_for_the_asking() {
    let mut given = options();
    given.platform = Some("linux/arm/v7".parse().unwrap());
    given.target = Some("t".to_owned());
    let text = "FROM --platform=$BUILDPLATFORM x AS t\nRUN y\nARG TARGETPLATFORM TARGETVARIANT BUILDARCH TARGETSTAGE TARGETOSVERSION\nRUN y\n";
    let lowered = lower_with(text, given, &base).unwrap();
    assert_eq!(lowered.graph.images[0].platform.to_string(), "linux/amd64");
    assert_eq!(value(&run(&steps(&lowered)[0]).env, "TARGETPLATFORM"), None);
    let env = &run(steps(&lowered).last().unwrap()).env;
    assert_eq!(value(env, "TARGETPLATFORM"), Some("linux/arm/v7"));
    assert_eq!(value(env, "TARGETVARIANT"), Some("v7"));
    assert_eq!(value(env, "BUILDARCH"), Some("amd64"));
    assert_eq!(value(env, "TARGETSTAGE"), Some("t"));
    assert_eq!(value(env, "TARGETOSVERSION"), Some(""));
    assert_eq!(target(&lowered).config.platform.to_string(), "linux/arm/v7");
}

#[test]
fn the_shell_form_runs_in_the_shell_and_the_exec_form_does_not() {
    assert_eq!(last_run("FROM x\nRUN a  b\n").argv, ["/bin/sh", "-c", "a  b"]);
    assert_eq!(last_run("FROM x\nSHELL [\"s\", \"-e\"]\nRUN a $b\n").argv, ["s", "-e", "a $b"]);
    assert_eq!(last_run("FROM x\nRUN [\"a\", \"$b\"]\n").argv, ["a", "$b"]);
}

#[test]
fn heredocs_of_run_become_scripts_programs_or_input_of_the_shell() {
    let script = last_run("FROM x\nRUN <<-EOF\n\ta\n\tb\nEOF\n");
    assert_eq!(script.argv[2], "a\nb\n");
    let program = last_run("FROM x\nRUN <<EOF\n#!/usr/bin/python\nprint()\nEOF\n");
    assert_eq!(program.argv, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
    assert_eq!(program.files, [("/dev/pipes/EOF".to_owned(), b"#!/usr/bin/python\nprint()\n".to_vec())]);
    let input = last_run("FROM x\nRUN cat <<A <<B\n1\nA\n2\nB\n");
    assert_eq!(input.argv[2], "cat <<A <<B\n1\nA\n2\nB");
}

#[test]
fn options_of_the_build_reach_every_run() {
    let mut given = options();
    given.network = Network::None;
    given.hostname = Some("given".to_owned());
    given.shm_size = Some(1);
    given.extra_hosts.push(("h".to_owned(), "10.0.0.1".to_owned()));
    let text = "FROM x\nRUN a\nRUN --network=host b\n";
    let lowered = lower_with(text, given.clone(), &base).unwrap();
    let first = run(&steps(&lowered)[0]);
    assert_eq!((first.network, first.hostname.as_str(), first.shm_size), (Network::None, "given", Some(1)));
    assert_eq!(run(&steps(&lowered)[1]).network, Network::Host);
    given.build_args.insert("BUILDKIT_SANDBOX_HOSTNAME".to_owned(), "argument".to_owned());
    let lowered = lower_with(text, given, &base).unwrap();
    assert_eq!(run(&steps(&lowered)[0]).hostname, "argument");
    assert_eq!(last_run("FROM x\nRUN a\n").hostname, "buildkitsandbox");
}

#[test]
fn mounts_get_the_defaults_of_their_type() {
    let text = "FROM x AS a\nFROM x\nWORKDIR /w\nENV t=cache\nRUN --mount=from=a,src=/s/../t,dst=in,rw \
                --mount=type=$t,target=c/ --mount=type=tmpfs,target=/t,size=1k --mount=type=secret,id=dir/s \
                --mount=type=ssh --mount=type=secret,id=e,env=E ls\n";
    let run = last_run(text);
    let targets: Vec<&str> = run.mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(
        targets,
        ["/w/in", "/w/c", "/t", "/run/secrets/s", "/run/buildkit/ssh_agent.0", "/run/secrets/e"]
    );
    assert_eq!(
        run.mounts[0].kind,
        MountKind::Bind { from: Origin::Stage(StageId(0)), source: "/t".to_owned(), writable: true }
    );
    assert_eq!(
        run.mounts[1].kind,
        MountKind::Cache {
            id: "c".to_owned(),
            sharing: Sharing::Shared,
            read_only: false,
            from: None,
            source: "/".to_owned(),
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    );
    assert_eq!(run.mounts[2].kind, MountKind::Tmpfs { size: Some(1024) });
    assert!(
        matches!(&run.mounts[3].kind, MountKind::Secret { id, file: true, mode: 0o400, env: None, .. } if id == "dir/s")
    );
    assert!(matches!(&run.mounts[5].kind, MountKind::Secret { file: false, env: Some(_), .. }));
    assert_eq!(value(&run.env, "SSH_AUTH_SOCK"), Some("/run/buildkit/ssh_agent.0"));
}

#[test]
fn cache_mounts_can_be_kept_apart_by_a_namespace() {
    let mut given = options();
    given.build_args.insert("BUILDKIT_CACHE_MOUNT_NS".to_owned(), "team".to_owned());
    let lowered = lower_with("FROM x\nRUN --mount=type=cache,target=/c ls\n", given, &base).unwrap();
    let MountKind::Cache { id, .. } = &run(&steps(&lowered)[0]).mounts[0].kind else { panic!("no cache") };
    assert_eq!(id, "team//c");
}

#[test]
fn copy_keeps_what_trees_decide_as_it_was_written() {
    let copy = last_copy(
        "FROM x\nWORKDIR w\nENV d=\"out/ e\"\nCOPY --link --exclude=*.$d --parents a*/./b \"$d\"\n",
    );
    assert_eq!(copy.sources, [Source::Path("a*/./b".to_owned())]);
    assert_eq!((copy.destination.as_str(), copy.workdir.as_str()), ("out/ e", "/w"));
    assert_eq!(copy.from, Origin::Context(ContextName::main()));
    assert_eq!((copy.link, copy.parents, copy.unpack, copy.add), (true, true, Unpack::Never, false));
    assert_eq!(last_copy("FROM x\nCOPY a $unset\n").destination, ".");
}

#[test]
fn add_takes_archives_and_downloads() {
    let hash = "a".repeat(64);
    let add =
        last_copy(&format!("FROM scratch\nADD --checksum=sha256:{hash} --unpack https://x.io/a.tgz /\n"));
    assert_eq!(add.unpack, Unpack::Always);
    let Source::Url { url, checksum } = &add.sources[0] else { panic!("no URL") };
    assert_eq!(url, "https://x.io/a.tgz");
    assert_eq!(checksum.unwrap().to_string(), format!("sha256:{hash}"));
    assert_eq!(last_copy("FROM scratch\nADD a.tar /\n").unpack, Unpack::Local);
    assert_eq!(last_copy("FROM scratch\nADD --unpack=false a.tar /\n").unpack, Unpack::Never);
}

#[test]
fn heredocs_of_copy_are_expanded_unless_quoted() {
    let copy = last_copy("FROM x\nENV v=1\nCOPY <<A <<'B' f /d/\n$v \"q\" \\$v\nA\n$v\nB\n");
    let inline =
        |name: &str, content: &str| Source::Inline { name: name.to_owned(), content: content.into() };
    assert_eq!(
        copy.sources,
        [Source::Path("f".to_owned()), inline("A", "1 \"q\" $v\n"), inline("B", "$v\n")]
    );
}

#[test]
fn stages_are_found_by_name_number_and_before_images() {
    let text = "FROM scratch AS One\nFROM scratch\nCOPY --from=oNE a /\nCOPY --from=0 a /\nCOPY --from=busybox a /\n\
                COPY --from=scratch a /\nCOPY --from=busybox:latest b /\n";
    let lowered = lower(text).unwrap();
    let origins: Vec<&Origin> = steps(&lowered).iter().map(|step| &copy(step).from).collect();
    let stage = Origin::Stage(StageId(0));
    let image = Origin::Image(ImageId(0));
    assert_eq!(origins, [&stage, &stage, &image, &Origin::Scratch, &image]);
    assert_eq!(lowered.graph.images.len(), 1);
}

#[test]
fn only_what_the_target_needs_is_lowered() {
    let text = "FROM unneeded AS a\nFROM scratch AS b\nFROM scratch AS c\nCOPY --from=b / /\nFROM a\n";
    let mut given = options();
    given.target = Some("C".to_owned());
    let ast = farm_dockerfile::parse(text.as_bytes()).unwrap();
    let prepared = farm_dockerfile::prepare(&ast, given).unwrap();
    assert!(prepared.wanted().is_empty());
    let lowered = prepared.finish().unwrap();
    let ids: Vec<StageId> = lowered.graph.stages.iter().map(|stage| stage.id).collect();
    assert_eq!(ids, [StageId(1), StageId(2)]);
    assert_eq!(lowered.graph.target, StageId(2));
}

#[test]
fn a_stage_name_that_comes_later_is_an_image_in_from() {
    let lowered = lower("FROM later\nFROM scratch AS later\nFROM 0\n").unwrap();
    assert_eq!(lowered.graph.images.len(), 1);
    assert_eq!(target(&lowered).base, Base::Image(ImageId(0)));
}

#[test]
fn contexts_stand_in_for_images_and_stages() {
    let mut given = options();
    let alpine = NamedContext::Image(ImageSource::Registry("alpine".parse().unwrap()));
    given.contexts.insert("docker.io/library/busybox".to_owned(), alpine);
    given.contexts.insert("files".to_owned(), NamedContext::Directory);
    given.contexts.insert("src::linux/amd64".to_owned(), NamedContext::Directory);
    given.contexts.insert(
        "src::linux/arm64".to_owned(),
        NamedContext::Image(ImageSource::Registry("x".parse().unwrap())),
    );
    let text = "FROM scratch AS files\nRUN never\nFROM busybox:latest AS base\nFROM base\nCOPY --from=files a /\n\
                COPY --from=src a /\nRUN --mount=from=files,target=/f ls\n";
    let lowered = lower_with(text, given.clone(), &base).unwrap();
    let files = Origin::Context(ContextName("files".to_owned()));
    assert_eq!(copy(&steps(&lowered)[0]).from, files);
    assert_eq!(copy(&steps(&lowered)[1]).from, Origin::Context(ContextName("src::linux/amd64".to_owned())));
    let ImageSource::Registry(reference) = &lowered.graph.images[0].source else { panic!("no registry") };
    assert_eq!(reference.familiar(), "alpine:latest");
    assert_eq!(lowered.graph.stages.len(), 2, "the stage that a context replaces is not built");
    let lowered = lower_with("FROM files\nRUN x\n", given, &base).unwrap();
    assert_eq!(target(&lowered).base, Base::Context(ContextName("files".to_owned())));
    assert_eq!(target(&lowered).config.env.len(), 1);
}

#[test]
fn triggers_of_the_base_run_first_and_are_then_spent() {
    let text =
        "FROM x AS base\nONBUILD ENV a=$b\nONBUILD RUN <<E\nls\nE\nFROM base AS mid\nRUN y\nFROM mid\n";
    let lowered = lower(text).unwrap();
    let stage = |n: u32| lowered.graph.stage(StageId(n)).unwrap();
    assert_eq!(stage(0).config.on_build, ["ENV a=$b", "RUN <<E\nls\nE"]);
    assert!(stage(0).steps.is_empty());
    let shown: Vec<&str> = stage(1).steps.iter().map(|step| step.created_by.as_str()).collect();
    assert_eq!(shown, ["ENV a=", "RUN /bin/sh -c ls\n # buildkit", "RUN /bin/sh -c y # buildkit"]);
    assert_eq!(stage(1).steps[1].lines, Some((3, 5)));
    assert!(stage(1).config.on_build.is_empty() && stage(2).steps.is_empty());
}

#[test]
fn triggers_of_an_image_can_need_further_stages_and_images() {
    let resolve = |image: &Image| {
        let mut config = base(image);
        let ImageSource::Registry(reference) = &image.source else { return config };
        if reference.repository == "library/parent" {
            config.on_build = vec!["COPY --from=tools a /".to_owned(), "COPY --from=other b /".to_owned()];
        }
        config
    };
    let text = "FROM toolbox AS tools\nFROM parent\n";
    let ast = farm_dockerfile::parse(text.as_bytes()).unwrap();
    let mut prepared = farm_dockerfile::prepare(&ast, options()).unwrap();
    assert_eq!(prepared.wanted().len(), 1);
    let parent = prepared.wanted()[0].clone();
    prepared.provide(&parent, resolve(&parent)).unwrap();
    assert_eq!(prepared.wanted().len(), 1, "the trigger made the first stage wanted");
    let lowered = lower_with(text, options(), &resolve).unwrap();
    assert_eq!(lowered.graph.stages.len(), 2);
    assert_eq!(steps(&lowered)[0].lines, None);
    assert_eq!(copy(&steps(&lowered)[0]).from, Origin::Stage(StageId(0)));
    assert_eq!(lowered.graph.images.len(), 3);
}

#[test]
fn an_entry_point_resets_a_command_that_was_inherited() {
    assert_eq!(target(&lower("FROM x\nENTRYPOINT [\"e\"]\n").unwrap()).config.cmd, None);
    let own = lower("FROM x\nCMD [\"c\"]\nENTRYPOINT [\"e\"]\n").unwrap();
    assert_eq!(target(&own).config.cmd.as_deref(), Some(&["c".to_owned()][..]));
    let inherited = lower("FROM x AS a\nCMD [\"c\"]\nFROM a\nENTRYPOINT [\"e\"]\n").unwrap();
    assert_eq!(target(&inherited).config.cmd, None);
}

#[test]
fn working_directories_chain_and_make_directories() {
    let lowered =
        lower("FROM x\nUSER u\nWORKDIR a\nWORKDIR b/..//c/\nWORKDIR $unset\nWORKDIR /\nWORKDIR /d/\n")
            .unwrap();
    let made: Vec<Option<&str>> = steps(&lowered)
        .iter()
        .map(|step| match &step.op {
            Op::Workdir(workdir) => Some(workdir.path.as_str()),
            Op::Metadata | Op::Run(_) | Op::Copy(_) => None,
        })
        .collect();
    assert_eq!(made, [None, Some("/a"), Some("/a/c"), Some("/a/c"), None, Some("/d")]);
    assert_eq!(target(&lowered).config.working_dir, "/d/");
}

#[test]
fn labels_of_the_command_line_go_to_the_target_alone() {
    let mut given = options();
    given.labels = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    let lowered = lower_with("FROM scratch AS b\nLABEL a=0\nFROM b\n", given, &base).unwrap();
    assert_eq!(target(&lowered).config.labels["a"], "2");
    assert_eq!(lowered.graph.stages[0].config.labels["a"], "0");
}

#[test]
fn caching_is_switched_off_for_all_or_some_stages() {
    let text = "FROM scratch AS a\nFROM scratch\nCOPY --from=a / /\n";
    let off = |no_cache| {
        let mut given = options();
        given.no_cache = no_cache;
        let lowered = lower_with(text, given, &base).unwrap();
        lowered.graph.stages.iter().map(|stage| stage.no_cache).collect::<Vec<_>>()
    };
    assert_eq!(off(NoCache::Never), [false, false]);
    assert_eq!(off(NoCache::All), [true, true]);
    assert_eq!(off(NoCache::Stages(vec!["A".to_owned()])), [true, false]);
}

#[test]
fn the_time_of_the_source_comes_from_an_argument() {
    let mut given = options();
    let text = "ARG SOURCE_DATE_EPOCH=12\nFROM x\nARG SOURCE_DATE_EPOCH\nRUN y\n";
    let lowered = lower_with(text, given.clone(), &base).unwrap();
    assert_eq!(lowered.source_date_epoch, Some(12));
    assert_eq!(value(&run(steps(&lowered).last().unwrap()).env, "SOURCE_DATE_EPOCH"), Some("12"));
    given.build_args.insert("SOURCE_DATE_EPOCH".to_owned(), "context".to_owned());
    let lowered = lower_with(text, given, &base).unwrap();
    assert_eq!(lowered.source_date_epoch, None);
    assert_eq!(value(&run(steps(&lowered).last().unwrap()).env, "SOURCE_DATE_EPOCH"), Some(""));
}

#[test]
fn what_will_be_regretted_is_warned_about() {
    let lowered = lower("FROM scratch AS scratch\nENV a b\nMAINTAINER m\nFROM scratch AS scratch\n").unwrap();
    let messages: Vec<&str> = lowered.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert!(messages.contains(&"stage name `scratch` is reserved"), "{messages:?}");
    assert!(messages.contains(&"stage name `scratch` is used twice"), "{messages:?}");
    assert!(messages.contains(&"MAINTAINER is deprecated"), "{messages:?}");
}
