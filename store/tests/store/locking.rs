//! One process a store.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use farm_store::{Error, Store};

use crate::support::new_store;

const HOLD: &str = "FARM_STORE_TEST_HOLD";

/// Not a test of its own: the second process of the tests below, when it is started with the variable.
#[test]
fn holder_process() {
    let Some(root) = std::env::var_os(HOLD) else {
        return;
    };
    let _store = Store::open(Path::new(&root)).unwrap();
    println!("\nready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

fn start_holder(root: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locking::holder_process", "--nocapture"])
        .env(HOLD, root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line == "ready"));
    child
}

#[test]
fn a_second_process_is_told_who_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start_holder(directory.path());
    let Err(error) = Store::open(directory.path()) else {
        panic!("two processes hold one store");
    };
    let pid = child.id();
    assert!(matches!(error, Error::InUse { pid: Some(found), .. } if found == pid));
    assert!(error.to_string().ends_with(&format!("process {pid} is using it")));
    assert!(error.hint().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    Store::open(directory.path()).unwrap();
}

#[test]
fn a_process_that_waits_gets_the_store_when_the_other_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start_holder(directory.path());
    let pid = child.id();
    let mut told = Vec::new();
    let mut input = child.stdin.take();
    Store::open_waiting(directory.path(), Duration::from_secs(60), &mut |holder| {
        told.push(holder);
        writeln!(input.take().unwrap(), "end").unwrap();
    })
    .unwrap();
    assert_eq!(told, [Some(pid)]);
    child.wait().unwrap();
}

#[test]
fn waiting_ends_at_its_deadline() {
    let test = new_store();
    let result = Store::open_waiting(test.store.root(), Duration::from_millis(120), &mut |_| {});
    assert!(matches!(result, Err(Error::InUse { .. })));
}
