//! The executor that needs no other program: the container's init isolates the command by itself, with the kernel's own means.

use std::path::Path;

use crate::engine::{Engine, Kind};
use crate::executor::Output;
use crate::{CancelFlag, Container, Error, Executor, Outcome};

/// Runs containers with the kernel's own means. One per run directory.
#[derive(Debug)]
pub struct Native(Engine);

impl Native {
    /// Takes over `run_dir`, which is made if missing and should be on a tmpfs such as `/run`, and reclaims what a dead process
    /// left there. Fails if a live process uses it. Raises this process's limit on open files as far as it may.
    pub fn new(run_dir: &Path) -> Result<Self, Error> {
        Engine::new(run_dir, Kind::Native).map(Self)
    }
}

impl Executor for Native {
    fn run(
        &self,
        container: &Container,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
    ) -> Result<Outcome, Error> {
        self.0.run(container, output, cancel)
    }
}
