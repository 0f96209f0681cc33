//! The executor that hands each container to an OCI runtime: runc, crun, or whatever else takes a bundle and the usual commands.
//!
//! What is the farm's stays here: the root with the mounts of the step in it, the network, the control groups with their limits, secrets,
//! output, and the end of every process. What is the runtime's to do is said in the bundle's `config.json`: namespaces, `/proc`, `/sys` and
//! `/dev`, what is hidden of them, devices, user, capabilities, system calls.
//!
//! The container's init starts the runtime, in mount and pid namespaces of its own, so that the bundle is in memory and seen by nobody else, and so
//! that killing the init kills the runtime and all that it has started. The command runs in a pid namespace within, whose pid 1 is ours: so it neither
//! sees the runtime nor has to be an init, and as the runtime leaves it to our init, that learns from the kernel how it ended.
//!
//! Deliberately absent: the runtime's `delete`. Its state is in memory and goes with the namespaces; the groups are removed here.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::engine::{Engine, Kind};
use crate::executor::Output;
use crate::{CancelFlag, Container, Error, Executor, Outcome};

/// Runs containers with an OCI runtime. One per run directory.
#[derive(Debug)]
pub struct Oci(Engine);

impl Oci {
    /// Takes over `run_dir` as [`Native::new`](crate::Native::new) does. `runtime` is the absolute path of a program.
    pub fn new(run_dir: &Path, runtime: &Path) -> Result<Self, Error> {
        check(runtime)
            .map_err(|problem| Error::Runtime { runtime: runtime.display().to_string(), problem })?;
        Engine::new(run_dir, Kind::Oci { runtime }).map(Self)
    }
}

fn check(runtime: &Path) -> Result<(), String> {
    if !runtime.is_absolute() {
        return Err("not an absolute path".to_owned());
    }
    let metadata = runtime.metadata().map_err(|error| format!("cannot be used: {error}"))?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err("not executable".to_owned());
    }
    Ok(())
}

impl Executor for Oci {
    fn run(
        &self,
        container: &Container,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
    ) -> Result<Outcome, Error> {
        self.0.run(container, output, cancel)
    }
}
