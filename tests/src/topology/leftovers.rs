//! What a farm may have left behind: processes that know its directories, and mounts below them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const POLL: Duration = Duration::from_millis(5);

/// Calls `probe` until it gives something, or the time is over.
pub fn wait_for<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if started.elapsed() > patience {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Whether a process is there and has not ended; one that ended and that nobody has waited for is not there.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it is in parentheses and may itself hold any character.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// Sends a signal; a process that is gone needs none.
pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}

/// The processes whose environment names something below `root`.
pub fn processes(root: &Path) -> Vec<u32> {
    let mut needle = root.as_os_str().as_bytes().to_vec();
    needle.push(b'/');
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let knows = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(needle.len()).any(|window| window == needle) && is_alive(*pid)
    };
    numbers.filter(knows).collect()
}

/// The mounts below `root` in our own mount namespace.
pub fn mounts(root: &Path) -> Vec<String> {
    let root = format!("{}/", root.display());
    let all = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    all.lines().filter(|line| line.contains(&root)).map(str::to_owned).collect()
}

/// What a process is, for a message.
pub fn description(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    format!("process {pid}: {}", words.join(" ").trim_end())
}
