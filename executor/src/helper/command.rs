//! Whether a command can be started at all, asked before an OCI runtime is: the answer is the user's to hear in the words, and with the exit
//! code, that they get without a runtime. What a runtime says about it has no fixed form.
//!
//! Deliberately absent: looking into the program. A file of a foreign format, or whose interpreter is missing, fails in the runtime's words.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{internal, process};
use crate::spec::{Failure, Report, Spec};
use crate::sys::{self, Parent};

/// What came of the search.
#[derive(Debug, Deserialize, Serialize)]
enum Answer {
    Found(String),
    NotExecutable(i32),
    Impossible(Failure),
}

/// What stands for the first word of the command: that word, unless only this search finds it.
pub(super) fn look_up(root: &Path, spec: &Spec) -> Result<String, Report> {
    let failed = |e: std::io::Error| internal("look the command up", e);
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    // A process of its own takes on the root and the user.
    match sys::fork_with(0, Parent::This) {
        Ok(None) => {
            let answer = search(root, spec).unwrap_or_else(Answer::Impossible);
            let _gone = serde_json::to_vec(&answer).map(|bytes| File::from(write).write_all(&bytes));
            sys::exit_now(0);
        }
        Ok(Some(child)) => {
            drop(write);
            let mut answer = Vec::new();
            File::from(read).read_to_end(&mut answer).map_err(failed)?;
            sys::wait(child.pid).map_err(failed)?;
            match serde_json::from_slice(&answer).map_err(|e| failed(e.into()))? {
                Answer::Found(word) => Ok(word),
                Answer::NotExecutable(errno) => {
                    Err(Report::ExecFailed { program: spec.argv[0].clone(), errno })
                }
                Answer::Impossible(failure) => Err(failure.into()),
            }
        }
        Err(error) => Err(Failure::environment("start a process", error).into()),
    }
}

/// These are there once the runtime has mounted them.
const LATER: [&str; 3] = ["/proc", "/sys", "/dev"];

fn comes_later(path: &str) -> bool {
    LATER.iter().any(|directory| Path::new(path).starts_with(directory))
}

fn search(root: &Path, spec: &Spec) -> Result<Answer, Failure> {
    process::limit(&spec.ulimits)?;
    rustix::process::chroot(root).map_err(|e| internal("enter the root", e))?;
    if !comes_later(&spec.cwd) {
        process::enter_working_directory(&spec.cwd)?;
    }
    process::become_user(&spec.user)?;
    let word = &spec.argv[0];
    if word.contains('/') {
        let found = if comes_later(word) { Ok(()) } else { executable(word) };
        return Ok(match found {
            Ok(()) => Answer::Found(word.clone()),
            Err(errno) => Answer::NotExecutable(errno.raw_os_error()),
        });
    }
    let mut reason = Errno::NOENT;
    let path = process::search_path(&spec.env);
    for (directory, candidate) in process::candidates(path, word) {
        match executable(&candidate) {
            // A runtime looks into absolute directories, if there is a list of them at all.
            Ok(()) if directory.starts_with('/') && spec.env.iter().any(|(name, _)| name == "PATH") => {
                return Ok(Answer::Found(word.clone()));
            }
            Ok(()) => return Ok(Answer::Found(candidate)),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ACCESS) => reason = Errno::ACCESS,
            Err(other) => return Ok(Answer::NotExecutable(other.raw_os_error())),
        }
    }
    Ok(Answer::NotExecutable(reason.raw_os_error()))
}

/// As `execve` would have it.
fn executable(path: &str) -> Result<(), Errno> {
    let c_path = CString::new(path).map_err(|_| Errno::INVAL)?;
    accessat(CWD, &c_path, Access::EXEC_OK, AtFlags::empty())?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) | Err(_) => Err(Errno::ACCESS),
    }
}
