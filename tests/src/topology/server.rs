//! A long-running process of a farm: started until it says that it is ready, ended with a deadline.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::leftovers::{send, wait_for};

const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(30);

/// A process that is ended when the value goes away, however that comes about.
#[derive(Debug)]
pub struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its streams in the file `log`.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start {name}: {error}");
        fs::create_dir_all(log.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
        // A log belongs to one life of the process, and what it says must not answer for the next one.
        let file = File::create(log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(failed)?).stderr(file);
        Ok(Self { child: command.spawn().map_err(failed)?, name: name.to_owned(), log: log.to_owned() })
    }

    /// Waits until its log contains `words`.
    pub fn wait_until_it_says(&mut self, words: &str) -> Result<(), String> {
        let said = wait_for(START, || {
            if self.text().contains(words) {
                return Some(true);
            }
            matches!(self.child.try_wait(), Ok(Some(_))).then_some(false)
        });
        match said {
            Some(true) => Ok(()),
            Some(false) => Err(format!("{} ended at its start:\n{}", self.name, self.text())),
            None => Err(format!("{} is not ready after {START:?}:\n{}", self.name, self.text())),
        }
    }

    /// What it said so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end; several can be asked before the first is waited for.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits until it is gone; one that stays is killed, and that is an error.
    pub fn wait(&mut self) -> Result<(), String> {
        if wait_for(END, || self.child.try_wait().transpose()).is_some() {
            return Ok(());
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
        Err(format!("{} was still there after {END:?}:\n{}", self.name, self.text()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}
