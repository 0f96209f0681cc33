//! What goes wrong with an OCI runtime is nobody's step's fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use farm_executor::{Blame, CancelFlag, Error, Exit, Mount, MountKind, Oci};

use crate::Test;
use crate::support::{Holdings, Kind, World, container, directory, image, run, runtime, watch};

pub(crate) const TESTS: &[Test] = &[
    ("a_runtime_that_cannot_be_used_is_refused_at_once", unusable_runtime),
    ("a_runtime_that_fails_is_blamed_itself", failing_runtime),
    ("a_runtime_that_hangs_is_killed_with_the_step", hanging_runtime),
    ("a_runtime_that_vanishes_is_named", vanished_runtime),
    ("a_mount_below_dev_is_seen", a_mount_below_dev_is_seen),
];

fn assert_is_the_runtimes(error: &Error, runtime: &Path, words: &str) {
    assert!(matches!(error, Error::Runtime { .. }) && error.blame() == Blame::Environment, "{error}");
    let text = error.to_string();
    assert!(text.contains(runtime.to_str().unwrap()) && text.contains(words), "{text}");
    assert!(error.hint().is_some_and(|hint| hint.contains("oci-runtime")), "{error}");
}

fn unusable_runtime() {
    let dir = directory();
    let plain = dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let missing = dir.path().join("missing");
    for (path, words) in [
        (missing.as_path(), "No such file"),
        (plain.as_path(), "not executable"),
        (dir.path(), "not a file"),
        (Path::new("runc"), "not an absolute path"),
    ] {
        let error = Oci::new(&dir.path().join("run"), path).unwrap_err();
        assert_is_the_runtimes(&error, path, words);
    }
}

/// A program at `path` that a shell runs.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What comes of a step when this script is the runtime.
fn error_of(text: &str) -> (Error, std::path::PathBuf, tempfile::TempDir) {
    let dir = directory();
    image(&dir.path().join("image"));
    let program = dir.path().join("runtime");
    script(&program, text);
    let executor = Oci::new(&dir.path().join("run"), &program).unwrap();
    let step = container(dir.path(), "step", "echo never");
    let ran = run(&executor, &step, &CancelFlag::new().unwrap());
    (ran.unwrap_err(), program, dir)
}

fn failing_runtime() {
    let log = "while [ $# -gt 0 ]; do [ \"$1\" = --log ] && log=$2; shift; done";
    let told = format!("{log}; echo '{{\"level\":\"error\",\"msg\":\"no more room\"}}' > $log; exit 1");
    let half = format!("case \"$*\" in *start*) exit 9;; esac; exec {} \"$@\"", runtime().display());
    for (text, words) in [
        ("exit 3", "`create` failed: exit status: 3"),
        ("kill -9 $$", "`create` failed: signal: 9"),
        (told.as_str(), "`create` failed: no more room"),
        ("exit 0", "`create` left no process id"),
        (half.as_str(), "`start` failed: exit status: 9"),
    ] {
        let (error, program, _dir) = error_of(text);
        assert_is_the_runtimes(&error, &program, words);
    }
}

fn hanging_runtime() {
    let before = Holdings::of_these_tests();
    let dir = directory();
    image(&dir.path().join("image"));
    let program = dir.path().join("runtime");
    script(&program, "sleep 86396 & wait");
    let executor = Oci::new(&dir.path().join("run"), &program).unwrap();
    watch(&dir.path().join("run"));
    let mut step = container(dir.path(), "step", "echo never");
    step.limits.timeout = Some(std::time::Duration::from_millis(300));
    let ran = run(&executor, &step, &CancelFlag::new().unwrap()).unwrap();
    assert_eq!(ran.outcome.exit, Exit::TimedOut);
    assert!(crate::support::processes_running("sleep 86396").is_empty());
    drop(executor);
    assert_eq!(Holdings::of_these_tests(), before);
}

fn vanished_runtime() {
    let dir = directory();
    image(&dir.path().join("image"));
    let program = dir.path().join("runtime");
    fs::copy(runtime(), &program).unwrap();
    let executor = Oci::new(&dir.path().join("run"), &program).unwrap();
    let cancel = CancelFlag::new().unwrap();
    let first = container(dir.path(), "first", "echo first");
    assert_eq!(run(&executor, &first, &cancel).unwrap().ok(), "first\n");
    fs::remove_file(&program).unwrap();
    let error = run(&executor, &container(dir.path(), "next", "echo next"), &cancel).unwrap_err();
    assert_is_the_runtimes(&error, &program, "cannot be executed");
}

/// A runtime mounts a `/dev` of its own, which must not cover what the step mounts there.
fn a_mount_below_dev_is_seen() {
    let world = World::new();
    std::os::unix::fs::symlink("/dev", world.image().join("alias")).unwrap();
    let mut step = world.shell("cat /dev/new/inner; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; ls /alias/more; ls -A /dev/new");
    let source = world.directory("source");
    fs::write(source.join("file"), "inner\n").unwrap();
    let bind =
        |path: &Path| MountKind::Bind { source: path.to_owned(), access: farm_executor::Access::ReadOnly };
    let tmpfs = |size| MountKind::Tmpfs { size: Some(size), mode: 0o755 };
    step.mounts = vec![
        Mount { target: "/dev/new".to_owned(), kind: tmpfs(1 << 20) },
        Mount { target: "/dev/new/inner".to_owned(), kind: bind(&source.join("file")) },
        Mount { target: "/dev/shm".to_owned(), kind: tmpfs(2 << 20) },
        Mount { target: "/alias/more".to_owned(), kind: bind(&source) },
    ];
    let ran = world.run(&step).unwrap();
    assert_eq!(ran.stdout, "inner\n2048\nfile\ninner\n", "{:?} {ran:?}", Kind::chosen());
    assert_eq!(fs::read_dir(&ran.upper).unwrap().count(), 0, "a target was made in the image");
}
