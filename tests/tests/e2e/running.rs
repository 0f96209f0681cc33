//! `farm run`: a command in an image.

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use rustix::process::Signal;

use crate::traces::Traces;

fn farm() -> Farm {
    let farm = Farm::new();
    let context = Context::new(
        "FROM busybox\nENV A=image\nWORKDIR /w\nCOPY f .\nENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"cat f\"]\n",
    )
    .file("f", "content\n");
    let _built = farm.command(&["build", "-t", "tool:1", context.path().to_str().unwrap()]).run().expect(0);
    farm
}

#[test]
fn command_environment_directory_and_user_are_the_image_s_unless_others_are_given() {
    let farm = farm();
    for (words, wanted) in [
        (&["tool:1"][..], "content\n"),
        (&["tool:1", "echo $A; pwd; id -u"], "image\n/w\n0\n"),
        (&["-e", "A=given", "tool:1", "echo $A"], "given\n"),
        (&["-w", "/tmp", "tool:1", "pwd"], "/tmp\n"),
        (&["-u", "7:8", "tool:1", "id -u; id -g"], "7\n8\n"),
        (&["--entrypoint", "echo", "tool:1", "-n", "words"], "words"),
        (&["--network", "none", "tool:1", "ip route | wc -l"], "0\n"),
    ] {
        let outcome = farm.command(&[&["run"], words].concat()).run().expect(0);
        assert_eq!(outcome.stdout, wanted, "{words:?}: {}", outcome.log);
    }
}

#[test]
fn the_exit_code_is_the_command_s() {
    let farm = farm();
    for (script, status) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("no-such-program", 127)] {
        let outcome = farm.command(&["run", "tool:1", script]).run();
        assert_eq!(outcome.status, Some(status), "{script}: {}", outcome.log);
    }
    let both = farm.command(&["run", "tool:1", "echo out; echo err >&2"]).run().expect(0);
    assert_eq!((both.stdout.as_str(), both.log.contains("err")), ("out\n", true));
    let _named = farm.command(&["run", "no-such-image-anywhere:1"]).run().says(&["no-such-image-anywhere"]);
}

#[test]
fn what_it_writes_is_thrown_away() {
    let farm = farm();
    let _written = farm.command(&["run", "tool:1", "echo x > /w/new; rm /w/f; ls"]).run().expect(0);
    assert_eq!(farm.command(&["run", "tool:1", "ls /w"]).run().expect(0).stdout, "f\n");
    let builds = farm.command(&["builds", "list", "--json"]).run().expect(0);
    assert_eq!(builds.json_lines().len(), 1, "{}", builds.stdout);
}

#[test]
fn ctrl_c_ends_it() {
    let farm = farm();
    let running = farm.command(&["run", "tool:1", "sleep 4714.1; true"]).start();
    let traces = Traces::of(&farm, "4714.1");
    running.signal(Signal::INT);
    assert_eq!(running.finish().status, Some(130));
    traces.assert_step_gone();
}
