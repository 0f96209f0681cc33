//! How a command's end and its output are told.

use std::time::{Duration, Instant};

use farm_executor::{Blame, CancelFlag, Error, Exit};

use crate::Test;
use crate::support::{World, run};

pub(crate) const TESTS: &[Test] = &[
    ("an_exit_code_is_reported", an_exit_code_is_reported),
    ("a_signal_is_reported", a_signal_is_reported),
    ("a_missing_command_is_127_and_says_so", a_missing_command_is_127_and_says_so),
    ("a_file_that_is_no_program_is_126", a_file_that_is_no_program_is_126),
    ("a_command_is_found_in_the_path", a_command_is_found_in_the_path),
    ("both_streams_are_relayed_in_full", both_streams_are_relayed_in_full),
    ("a_daemon_does_not_keep_the_run_from_ending", a_daemon_does_not_keep_the_run_from_ending),
    ("cancelling_kills_at_once", cancelling_kills_at_once),
    ("a_cancelled_flag_starts_nothing", a_cancelled_flag_starts_nothing),
    ("a_timeout_kills", a_timeout_kills),
    ("usage_covers_children", usage_covers_children),
    ("bad_requests_are_refused_with_the_right_blame", bad_requests_are_refused_with_the_right_blame),
    ("a_missing_layer_is_named", a_missing_layer_is_named),
];

fn an_exit_code_is_reported() {
    let world = World::new();
    for code in [0, 1, 42, 255] {
        let ran = world.run(&world.shell(&format!("exit {code}"))).unwrap();
        assert_eq!(ran.outcome.exit, Exit::Code(code));
    }
}

fn a_signal_is_reported() {
    let world = World::new();
    assert_eq!(world.run(&world.shell("kill -9 $$")).unwrap().outcome.exit, Exit::Signal(9));
    assert_eq!(world.run(&world.shell("kill -TERM $$")).unwrap().outcome.exit, Exit::Signal(15));
}

fn a_missing_command_is_127_and_says_so() {
    let world = World::new();
    for name in ["nowhere", "/bin/nowhere"] {
        let mut container = world.shell("");
        container.argv = vec![name.to_owned()];
        let ran = world.run(&container).unwrap();
        assert_eq!(ran.outcome.exit, Exit::Code(127));
        assert!(ran.stderr.starts_with(&format!("{name}: ")), "{}", ran.stderr);
    }
}

fn a_file_that_is_no_program_is_126() {
    let world = World::new();
    let mut container = world.shell("");
    container.argv = vec!["/etc/passwd".to_owned()];
    let ran = world.run(&container).unwrap();
    assert_eq!(
        (ran.outcome.exit, ran.stderr.as_str()),
        (Exit::Code(126), "/etc/passwd: permission denied\n")
    );
}

fn a_command_is_found_in_the_path() {
    let world = World::new();
    let mut container = world.shell("");
    container.argv = vec!["echo".to_owned(), "found".to_owned()];
    assert_eq!(world.run(&container).unwrap().ok(), "found\n");
    let mut container = world.shell("");
    container.argv = vec!["echo".to_owned()];
    container.env = vec![("PATH".to_owned(), "/sbin::/etc/passwd".to_owned())];
    assert_eq!(world.run(&container).unwrap().outcome.exit, Exit::Code(127));
}

fn both_streams_are_relayed_in_full() {
    let world = World::new();
    let script = "i=0; while [ $i -lt 20000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done";
    let ran = world.run(&world.shell(script)).unwrap();
    let expected = |word: &str| (0..20000).fold(String::new(), |all, i| all + &format!("{word}{i}\n"));
    assert!(ran.stdout == expected("out") && ran.stderr == expected("err"));
}

fn a_daemon_does_not_keep_the_run_from_ending() {
    let world = World::new();
    let started = Instant::now();
    let output = world.output("(setsid sleep 1000 &) ; sleep 1000 & echo done");
    assert_eq!(output, "done\n");
    assert!(started.elapsed() < Duration::from_secs(20));
}

fn cancelling_kills_at_once() {
    let world = World::new();
    let cancel = CancelFlag::new().unwrap();
    let container = world.shell("trap '' TERM INT; setsid sleep 1000 & echo started; sleep 1000");
    let other = cancel.clone();
    let mut seen = Vec::new();
    let outcome = world
        .executor
        .run(
            &container,
            &mut |_, bytes| {
                seen.extend_from_slice(bytes);
                if seen.ends_with(b"started\n") {
                    other.cancel();
                }
            },
            &cancel,
        )
        .unwrap();
    assert_eq!(outcome.exit, Exit::Cancelled);
    assert!(outcome.usage.wall < Duration::from_secs(5), "{outcome:?}");
}

fn a_cancelled_flag_starts_nothing() {
    let world = World::new();
    let cancel = CancelFlag::new().unwrap();
    cancel.cancel();
    let ran = run(&*world.executor, &world.shell("echo hi > /here"), &cancel).unwrap();
    assert_eq!(ran.outcome.exit, Exit::Cancelled);
    assert!(!ran.upper.join("here").exists());
}

fn a_timeout_kills() {
    let world = World::new();
    let mut container = world.shell("sleep 1000");
    container.limits.timeout = Some(Duration::from_millis(200));
    assert_eq!(world.run(&container).unwrap().outcome.exit, Exit::TimedOut);
}

fn usage_covers_children() {
    let world = World::new();
    let script = "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; true";
    let usage = world.run(&world.shell(script)).unwrap().outcome.usage;
    assert!(usage.user + usage.system > Duration::from_millis(50), "{usage:?}");
    assert!(usage.wall >= Duration::from_millis(50) && usage.peak_memory > 100_000, "{usage:?}");
}

fn bad_requests_are_refused_with_the_right_blame() {
    let world = World::new();
    let mut container = world.shell("");
    container.argv.clear();
    assert_eq!(world.run(&container).unwrap_err().blame(), Blame::User);
    let mut container = world.shell("");
    container.id = "../up".to_owned();
    assert_eq!(world.run(&container).unwrap_err().blame(), Blame::Internal);
    let mut container = world.shell("");
    container.cwd = "/etc/passwd".to_owned();
    let error = world.run(&container).unwrap_err();
    assert_eq!(error.blame(), Blame::User);
    assert!(error.to_string().contains("`/etc/passwd`"), "{error}");
}

fn a_missing_layer_is_named() {
    let world = World::new();
    let mut container = world.shell("");
    container.lowers.insert(0, world.dir.path().join("not-there"));
    let error = world.run(&container).unwrap_err();
    assert!(matches!(error, Error::Setup { .. }) && error.to_string().contains("not-there"), "{error}");
    assert_eq!(error.blame(), Blame::Environment);
}
