//! What the binary says about itself, without any farm.

use farm_tests::farm::Farm;
use farm_tests::topology::Topology;

const COMMANDS: [&str; 21] = [
    "build",
    "builds",
    "why",
    "run",
    "images",
    "history",
    "inspect",
    "tag",
    "rmi",
    "push",
    "pull",
    "save",
    "load",
    "login",
    "logout",
    "du",
    "prune",
    "daemon",
    "coordinator",
    "worker",
    "completions",
];

#[test]
fn every_command_has_help_and_a_manual_page() {
    let farm = Farm::of(Topology::Daemon);
    let pages = farm.scratch("man");
    let _written = farm.command(&["man", pages.to_str().unwrap()]).run().expect(0);
    let all = farm.command(&["--help"]).run().expect(0);
    for command in COMMANDS {
        assert!(all.stdout.contains(command), "`{command}` is not in:\n{}", all.stdout);
        let help = farm.command(&[command, "--help"]).run().expect(0);
        assert!(help.stdout.contains("Usage: farm"), "{}", help.stdout);
        let page = std::fs::read_to_string(pages.join(format!("farm-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
}

#[test]
fn shells_understand_their_completions() {
    let farm = Farm::of(Topology::Daemon);
    for (shell, checker) in
        [("bash", Some("bash")), ("zsh", None), ("fish", None), ("elvish", None), ("powershell", None)]
    {
        let script = farm.command(&["completions", shell]).run().expect(0).stdout;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{script}");
        if let Some(checker) = checker {
            let file = farm.scratch(shell);
            std::fs::write(&file, script).unwrap();
            let status = std::process::Command::new(checker).arg("-n").arg(&file).status().unwrap();
            assert!(status.success());
        }
    }
}

#[test]
fn nothing_of_this_starts_a_daemon() {
    let farm = Farm::of(Topology::Daemon);
    for words in [&["--help"][..], &["--version"], &["completions", "bash"], &["build", "--nonsense"]] {
        let _said = farm.command(words).run();
    }
    assert_eq!(farm.pids(), Vec::<u32>::new());
}
