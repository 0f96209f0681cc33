//! `farm-topology SCRIPT`: a farm in the topology that `FARM_TOPOLOGY` asks for, for programs that are not written in Rust.
//!
//! Writes an executable SCRIPT that takes the place of the `farm` command, prints `ready`, and keeps the farm until its
//! standard input ends. Fails when the farm left something behind.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use farm_tests::farm::{Farm, binary};

fn main() -> Result<(), Box<dyn Error>> {
    let script = std::env::args_os().nth(1).ok_or("usage: farm-topology SCRIPT")?;
    let farm = Farm::new();
    fs::write(&script, shell(&farm.client(&binary())))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    writeln!(std::io::stdout(), "ready")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(farm);
    Ok(())
}

/// A script that does what the command does, with further arguments.
fn shell(command: &Command) -> String {
    let mut words = vec!["exec env".to_owned()];
    for (name, value) in command.get_envs() {
        let name = name.to_string_lossy();
        words.push(value.map_or_else(|| format!("-u {name}"), |value| format!("{name}={}", quoted(value))));
    }
    words.push(quoted(command.get_program()));
    words.extend(command.get_args().map(quoted));
    // Options have to come before assignments.
    words[1..].sort_by_key(|word| !word.starts_with("-u "));
    format!("#!/bin/sh\n{} \"$@\"\n", words.join(" "))
}

fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}
