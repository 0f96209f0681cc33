//! Who a command is and what it may do.

use std::process::Command;

use farm_executor::{Resource, Ulimit, User};

use crate::Test;
use crate::support::World;

pub(crate) const TESTS: &[Test] = &[
    ("the_environment_is_exactly_what_was_given", the_environment_is_exactly_what_was_given),
    ("user_groups_and_directory_are_taken", user_groups_and_directory_are_taken),
    ("capabilities_of_root_are_dockers", capabilities_of_root_are_dockers),
    (
        "another_user_has_no_capabilities_but_the_same_bounds",
        another_user_has_no_capabilities_but_the_same_bounds,
    ),
    ("status_equals_that_of_runc", status_equals_that_of_runc),
    ("limits_of_processes_are_set", limits_of_processes_are_set),
    ("the_umask_is_dockers", the_umask_is_dockers),
    ("the_user_can_reopen_its_output", the_user_can_reopen_its_output),
    ("a_directory_closed_to_the_user_can_be_the_working_directory", closed_working_directory),
];

fn the_environment_is_exactly_what_was_given() {
    let world = World::new();
    let mut container = world.shell("env | sort");
    // runc adds a home to an environment that has none; a worker sees to it that there is one.
    container.env.push(("HOME".to_owned(), "/root".to_owned()));
    container.env.push(("GREETING".to_owned(), "hello\nworld = ü".to_owned()));
    container.argv = vec!["env".to_owned()];
    let output = world.run(&container).unwrap().ok();
    assert_eq!(output, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\nGREETING=hello\nworld = ü\n");
}

fn user_groups_and_directory_are_taken() {
    let world = World::new();
    let mut container = world.shell("id -u; id -g; id -G; pwd; hostname");
    container.user = User { uid: 1000, gid: 1001, groups: vec![7, 8] };
    container.cwd = "/var".to_owned();
    assert_eq!(world.run(&container).unwrap().ok(), "1000\n1001\n1001 7 8\n/var\nstep\n");
}

const DEFAULT: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

fn status(text: &str, field: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn capabilities_of_root_are_dockers() {
    let text = World::new().output("cat /proc/self/status");
    for (field, expected) in
        [("CapInh", NONE), ("CapPrm", DEFAULT), ("CapEff", DEFAULT), ("CapBnd", DEFAULT), ("CapAmb", NONE)]
    {
        assert_eq!(status(&text, field), expected, "{field}");
    }
    assert_eq!(status(&text, "NoNewPrivs"), "0");
    assert_eq!(status(&text, "Seccomp"), "2");
}

fn another_user_has_no_capabilities_but_the_same_bounds() {
    let world = World::new();
    let mut container = world.shell("cat /proc/self/status");
    container.user = User { uid: 65534, gid: 65534, groups: Vec::new() };
    let text = world.run(&container).unwrap().ok();
    for (field, expected) in
        [("CapInh", NONE), ("CapPrm", NONE), ("CapEff", NONE), ("CapBnd", DEFAULT), ("CapAmb", NONE)]
    {
        assert_eq!(status(&text, field), expected, "{field}");
    }
}

/// Compares with what runc makes of Docker's spec, where runc is installed.
fn status_equals_that_of_runc() {
    if Command::new("runc").arg("--version").output().is_err() {
        println!("  (runc is not installed: nothing to compare with)");
        return;
    }
    let world = World::new();
    for uid in [0, 65534] {
        let mut container = world.shell("cat /proc/self/status; umask; ulimit -c");
        container.user = User { uid, gid: uid, groups: Vec::new() };
        let ours = world.run(&container).unwrap().ok();
        let theirs = crate::support::runc(&world.image(), uid, "cat /proc/self/status; umask; ulimit -c");
        for field in [
            "Uid",
            "Gid",
            "Groups",
            "NoNewPrivs",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "SigBlk",
            "SigCgt",
        ] {
            assert_eq!(status(&ours, field), status(&theirs, field), "{field} of user {uid}");
        }
        assert_eq!(status(&ours, "SigIgn"), NONE);
        let rest = |text: &str| {
            text.lines()
                .skip_while(|line| !line.starts_with("nonvoluntary"))
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(rest(&ours), rest(&theirs));
    }
}

fn limits_of_processes_are_set() {
    let world = World::new();
    let mut container = world.shell("ulimit -n; ulimit -Hn; ulimit -c; ulimit -s");
    container.ulimits = vec![
        Ulimit { resource: Resource::from_name("nofile").unwrap(), soft: 100, hard: 200 },
        Ulimit { resource: Resource::Core, soft: 0, hard: 0 },
        Ulimit { resource: Resource::Stack, soft: 1 << 20, hard: 2 << 20 },
    ];
    assert_eq!(world.run(&container).unwrap().ok(), "100\n200\n0\n1024\n");
    assert_eq!(world.output("ulimit -n"), "1024\n");
}

fn the_user_can_reopen_its_output() {
    let world = World::new();
    let mut container = world.shell("echo out > /dev/stdout; echo err > /dev/stderr");
    container.user = User { uid: 1000, gid: 1000, groups: Vec::new() };
    let ran = world.run(&container).unwrap();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"), "{ran:?}");
}

fn the_umask_is_dockers() {
    assert_eq!(World::new().output("umask; echo > /tmp/x; stat -c %a /tmp/x"), "0022\n644\n");
}

fn closed_working_directory() {
    let world = World::new();
    let mut container = world.shell("echo in");
    container.cwd = "/root".to_owned();
    container.user = User { uid: 1000, gid: 1000, groups: Vec::new() };
    assert_eq!(world.run(&container).unwrap().ok(), "in\n");
}
