//! Which executor runs the steps of this process, as the configuration says.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farm_executor::{Error, Executor, Native, Oci};

use crate::config::{Config, Runtime};
use crate::failure::Failure;

/// The runtime that `runtime = "oci"` means where nothing else is said.
const DEFAULT_OCI_RUNTIME: &str = "runc";
/// Looked into besides the `PATH`, which for ordinary users lacks what only root runs.
const MORE_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
const HINT: &str =
    "install it, or name another program with `oci-runtime` in farm.toml; `runtime = \"native\"` needs none";

/// The choice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Isolation {
    /// By farm itself.
    Native,
    /// By the OCI runtime at this path.
    Oci(PathBuf),
}

impl Isolation {
    /// What `config` asks for, if it exists here.
    pub(crate) fn chosen(config: &Config) -> Result<Self, Failure> {
        match config.runtime.unwrap_or_default() {
            Runtime::Native => Ok(Self::Native),
            Runtime::Oci => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                find(config.oci_runtime.as_deref().unwrap_or(DEFAULT_OCI_RUNTIME), &path).map(Self::Oci)
            }
        }
    }

    /// The executor, once the directory is free.
    pub(crate) fn open(&self, run_dir: &Path) -> Result<Arc<dyn Executor>, Error> {
        Ok(match self {
            Self::Native => Arc::new(Native::new(run_dir)?),
            Self::Oci(runtime) => Arc::new(Oci::new(run_dir, runtime)?),
        })
    }
}

fn find(name: &str, path: &OsStr) -> Result<PathBuf, Failure> {
    if Path::new(name).is_absolute() {
        // The executor says what is wrong with it.
        return Ok(PathBuf::from(name));
    }
    if name.is_empty() || name.contains('/') {
        return Err(Failure::usage(format!("`oci-runtime` is `{name}`"))
            .with_hint(Some("give it the name of a program or an absolute path")));
    }
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .chain(MORE_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(is_program)
        .ok_or_else(|| {
            Failure::environment(format!("there is no OCI runtime `{name}`")).with_hint(Some(HINT))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path_and_a_relative_path_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("some-runtime");
        std::fs::write(&program, "").unwrap();
        assert!(find("some-runtime", dir.path().as_os_str()).is_err(), "it is not executable");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("some-runtime", dir.path().as_os_str()).unwrap(), program);
        assert_eq!(find("/opt/runtime", OsStr::new("")).unwrap(), Path::new("/opt/runtime"));
        for name in ["", "./some-runtime", "no-such-runtime"] {
            assert!(find(name, dir.path().as_os_str()).is_err(), "{name}");
        }
    }
}
