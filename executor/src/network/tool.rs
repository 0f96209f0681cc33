//! Runs the tools that configure networks.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Error;

/// Runs a tool with `input` and returns its standard output; a failure says what the tool said.
pub(super) fn run(tool: &str, arguments: &[&str], input: &str) -> Result<String, Error> {
    let failed = |problem: String, hint| Error::Network { action: format!("run `{tool}`"), problem, hint };
    let mut command = Command::new(tool);
    // Administrators' tools are often not in the path of a service.
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        let hint =
            "install nftables (or iptables), or run the step with `--network=host` or `--network=none`";
        failed(error.to_string(), hint)
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that does not read to the end says why on its standard error.
        let _closed = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string(), "try again"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let hint = "the kernel needs NAT support; `--network=host` and `--network=none` do without";
    Err(failed(format!("{}: {}", output.status, said.trim()), hint))
}

/// Whether a tool can be started.
pub(super) fn exists(tool: &str) -> bool {
    run(tool, &["--version"], "").is_ok()
}
