//! A real terminal with a shell in it, driven by tmux.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::farm::Farm;

/// How long what is wanted may take to be on the screen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the screen is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A terminal whose shell has the environment of a farm's client. It ends with the value.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// A terminal of so many columns and rows.
    pub fn new(farm: &Farm, columns: u16, rows: u16) -> Self {
        // One that ended a moment ago may still hold its socket.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: farm.scratch(&format!("tmux-{number}")) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let mut command = farm.client("tmux".as_ref());
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("TMUX");
        // What the console remembers stays with the farm.
        command.env("XDG_CONFIG_HOME", farm.scratch("configuration"));
        command.arg("-S").arg(&terminal.socket).args(["-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &columns, "-y", &rows, "exec /bin/sh"]);
        let started = command.output().expect("tmux is installed");
        assert!(started.status.success(), "{started:?}");
        terminal.tmux(&["set", "-g", "history-limit", "50000"]);
        // The shell of root has a sign of its own.
        terminal.wait_until("a prompt", |screen| screen.contains(['$', '#']));
        terminal
    }

    /// Types a command line into the shell.
    pub fn run(&self, line: &str) {
        self.type_text(line);
        self.key("Enter");
    }

    /// Types text as it is.
    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses a key, by tmux's name of it.
    pub fn key(&self, name: &str) {
        self.tmux(&["send-keys", name]);
    }

    /// Makes it larger or smaller.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What is on the screen and what has scrolled out of it.
    pub fn scrollback(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"])
    }

    /// Whether a program shows its own screen in place of the scrolling one.
    pub fn is_taken_over(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    /// The process that runs in the foreground, which is not the shell.
    pub fn foreground(&self) -> Option<u32> {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.trim())).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Waits until a text is on the screen.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// Waits until a text is not on the screen.
    pub fn wait_gone(&self, text: &str) -> String {
        self.wait_until(&format!("no `{text}`"), |screen| !screen.contains(text))
    }

    /// Waits until something is true of the screen; `what` says so in words.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(started.elapsed() < PATIENCE, "waited for {what}; the screen is:\n{screen}");
            thread::sleep(LOOK);
        }
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).output().expect("tmux runs");
        assert!(status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that is gone already is as good.
        let _gone = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}
