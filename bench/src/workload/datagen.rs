//! The static program that workloads with large outputs run inside their steps.
//!
//! It is compiled when a workload is written, because it has to run in an image without any library. The same compiler
//! gives the same bytes; another one may not, so only these workloads' digests depend on the toolchain.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::Error;

const SOURCE: &str = include_str!("../bin/farm-datagen.rs");

/// The program's bytes.
pub fn compile() -> Result<Vec<u8>, Error> {
    let scratch = tempfile::tempdir().map_err(Error::file("create a directory in", &env::temp_dir()))?;
    let program = scratch.path().join("datagen");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let failed = |error: std::io::Error| Error::Compiler(error.to_string());
    let mut child = Command::new(compiler)
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "datagen",
            "-O",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
        ])
        .args(["-C", "target-feature=+crt-static", "-o"])
        .arg(&program)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A compiler that has given up says why on its standard error, which is what is reported below.
        let _broken_pipe = stdin.write_all(SOURCE.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(Error::Compiler(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    fs::read(&program).map_err(Error::file("read", &program))
}
