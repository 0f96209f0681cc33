//! `farm top` in a real terminal, against a farm that runs.

use std::fs;
use std::path::Path;

use farm_tests::context::Context;
use farm_tests::farm::{Farm, binary};
use farm_tests::terminal::Terminal;
use rustix::process::{Pid, Signal, kill_process};

const QUICK: &str =
    "FROM busybox AS builder\nRUN echo made > /made\nFROM scratch\nCOPY --from=builder /made /\n";
/// It runs until its build is cancelled.
const ENDLESS: &str = "FROM busybox AS waiter\nRUN echo it waits && while true; do sleep 1; done\n";

fn top(farm: &Farm, columns: u16, rows: u16, arguments: &str) -> Terminal {
    let terminal = Terminal::new(farm, columns, rows);
    terminal.run("echo before");
    terminal.run(&format!("{} top {arguments}", binary().display()));
    terminal.wait_until("the console", |_| terminal.is_taken_over());
    terminal
}

fn command(terminal: &Terminal, name: &str) {
    terminal.key(":");
    terminal.type_text(name);
    terminal.key("Enter");
}

#[test]
fn a_build_is_followed_from_the_list_to_its_log_and_cancelled() {
    let farm = Farm::new();
    let context = Context::new(ENDLESS);
    let building = farm.command(&["build", "-t", "endless:1", context.path().to_str().unwrap()]).start();
    let terminal = top(&farm, 120, 36, "");
    terminal.wait_for("endless:1");
    terminal.key("Enter");
    terminal.wait_for("waiter");
    command(&terminal, "log");
    terminal.wait_for("it waits");
    command(&terminal, "cancel");
    terminal.wait_for("endless:1");
    terminal.key("y");
    assert_eq!(building.finish().status, Some(130));
    command(&terminal, "actions");
    terminal.wait_for("cancel");
    terminal.key("q");
    terminal.wait_until("the shell", |_| !terminal.is_taken_over());
}

#[test]
fn the_terminal_is_given_back_at_the_end_and_when_the_console_is_told_to_end() {
    let farm = Farm::new();
    for signal in [None, Some(Signal::TERM), Some(Signal::HUP)] {
        let terminal = top(&farm, 80, 24, "");
        terminal.wait_for("builds");
        match signal {
            None => terminal.key("q"),
            Some(signal) => {
                let pid = i32::try_from(terminal.foreground().unwrap()).unwrap();
                kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
            }
        }
        terminal.wait_until("the shell", |_| !terminal.is_taken_over());
        terminal.run("echo a''fter; stty -a");
        let screen = terminal.wait_for("after");
        assert!(screen.contains("before"), "{screen}");
        let screen = terminal.wait_for("echoe");
        assert!(!screen.contains("-echo ") && !screen.contains("-icanon"), "{screen}");
    }
}

#[test]
fn any_size_is_survived() {
    let farm = Farm::new();
    let context = Context::new(QUICK);
    let _built = farm.command(&["build", "-t", "quick:1", context.path().to_str().unwrap()]).run().expect(0);
    let terminal = top(&farm, 120, 36, "");
    terminal.wait_for("quick:1");
    for view in ["overview", "workers", "cache", "images", "actions", "stages", "log", "help"] {
        terminal.resize(120, 36);
        command(&terminal, view);
        for (columns, rows) in [(60, 15), (10, 3), (1, 1), (200, 50), (80, 24)] {
            terminal.resize(columns, rows);
        }
        assert!(terminal.is_taken_over(), "it ended in `{view}`: {}", terminal.scrollback());
        terminal.key("Escape");
    }
    command(&terminal, "overview");
    terminal.wait_for("quick:1");
}

#[test]
fn a_coordinator_that_comes_back_is_found_again() {
    let farm = Farm::new();
    let context = Context::new(QUICK);
    let build =
        |name: &str| farm.command(&["build", "-t", name, context.path().to_str().unwrap()]).run().expect(0);
    let _built = build("early:1");
    let terminal = top(&farm, 120, 36, "");
    terminal.wait_for("early:1");
    farm.kill();
    terminal.wait_for("lost");
    let _built = build("late:1");
    terminal.wait_for("late:1");
    terminal.wait_gone("lost");
}

#[test]
fn a_hostile_log_is_shown_and_changes_nothing() {
    let farm = Farm::new();
    let hostile = "FROM busybox\nRUN printf '\\033[2J\\033]0;title\\007\\033[31mred\\033[0m\\n\\377\\376 bytes\\n' && \
        head -c 10000000 /dev/zero | tr '\\0' x && printf '\\nend of it\\n'\n";
    let context = Context::new(hostile);
    let _built =
        farm.command(&["build", "-t", "hostile:1", context.path().to_str().unwrap()]).run().expect(0);
    let terminal = top(&farm, 100, 30, "");
    terminal.wait_for("hostile:1");
    command(&terminal, "log");
    let screen = terminal.wait_for("end of it");
    assert!(screen.contains("hostile:1") || screen.contains("red"), "{screen}");
    command(&terminal, "overview");
    terminal.wait_for("hostile:1");
}

#[test]
fn a_log_is_streamed_to_the_normal_screen_and_back() {
    let farm = Farm::new();
    let lines = "FROM busybox\nRUN seq 1 500 | sed 's/^/line /'\n";
    let context = Context::new(lines);
    let _built = farm.command(&["build", "-t", "lines:1", context.path().to_str().unwrap()]).run().expect(0);
    let terminal = top(&farm, 100, 30, "");
    terminal.wait_for("lines:1");
    command(&terminal, "log");
    terminal.wait_for("line 500");
    terminal.key("s");
    terminal.wait_until("the normal screen", |_| !terminal.is_taken_over());
    terminal.wait_for("line 500");
    let scrollback = terminal.scrollback();
    assert!(scrollback.contains("line 1\n") && scrollback.contains("line 250"), "{scrollback}");
    terminal.key("Space");
    terminal.wait_until("the console", |_| terminal.is_taken_over());
    terminal.wait_for("line 500");
}

#[test]
fn what_was_recorded_is_played_again() {
    let farm = Farm::new();
    let file = farm.scratch("recording");
    let terminal = top(&farm, 120, 36, &format!("--record {}", file.display()));
    let context = Context::new(QUICK);
    let _built = farm.command(&["build", "-t", "taped:1", context.path().to_str().unwrap()]).run().expect(0);
    terminal.wait_for("taped:1");
    terminal.key("q");
    terminal.wait_until("the shell", |_| !terminal.is_taken_over());
    let played = once(&farm, &["--replay", file.to_str().unwrap()]);
    assert!(played.contains("taped:1"), "{played}");
    assert_eq!(
        once(&farm, &["--replay", file.to_str().unwrap()]),
        played,
        "the same events give the same frame"
    );
    // A recording that was cut within an event is played up to there.
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    assert!(once(&farm, &["--replay", file.to_str().unwrap()]).contains("taped:1"));
    let other = farm.command(&["top", "--once", "--replay", "/etc/passwd"]).run().expect(2);
    assert!(other.log.contains("no recording"), "{}", other.log);
}

fn once(farm: &Farm, arguments: &[&str]) -> String {
    let console = farm.command(&[&["top", "--once"], arguments].concat());
    console.env("XDG_CONFIG_HOME", farm.scratch("configuration")).run().expect(0).stdout
}

#[test]
fn one_frame_is_printed_as_text_json_and_picture() {
    let farm = Farm::new();
    let context = Context::new(QUICK);
    let _built = farm.command(&["build", "-t", "framed:1", context.path().to_str().unwrap()]).run().expect(0);
    let text = once(&farm, &["--size", "100x20"]);
    assert!(text.contains("framed:1") && !text.contains('\x1b'), "{text}");
    assert_eq!(text.lines().count(), 20);
    let json: serde_json::Value = serde_json::from_str(&once(&farm, &["--format", "json"])).unwrap();
    assert!(json["builds"].as_array().is_some_and(|builds| builds.len() == 1), "{json}");
    let picture = farm.scratch("picture.svg");
    fs::write(&picture, once(&farm, &["--format", "svg"])).unwrap();
    assert_is_xml(&picture);
    let piped = farm.command(&["top"]).run().expect(2);
    assert!(piped.log.contains("no terminal") && piped.log.contains("--once"), "{}", piped.log);
}

fn assert_is_xml(path: &Path) {
    let check =
        "import sys, xml.etree.ElementTree as e; assert e.parse(sys.argv[1]).getroot().tag.endswith('svg')";
    let checked = std::process::Command::new("python3").args(["-c", check]).arg(path).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn a_build_is_replayed_from_its_log() {
    let farm = Farm::new();
    let context = Context::new(QUICK);
    let _built = farm.command(&["build", "-t", "again:1", context.path().to_str().unwrap()]).run().expect(0);
    let listed = farm.command(&["builds", "list", "--json"]).run().expect(0);
    let build = listed.json_lines()[0]["build"].as_str().unwrap().to_owned();
    let frame = once(&farm, &["--replay", &build]);
    assert!(frame.contains("builder") && frame.contains("RUN echo made"), "{frame}");
    let other = farm.command(&["top", "--once", "--replay", "ffff"]).run().expect(2);
    assert!(other.log.contains("neither a file nor a build"), "{}", other.log);
}
