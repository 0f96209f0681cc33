//! Shell completions and manual pages, made from the command line's own description.

use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::failure::Failure;
use crate::{Cli, show};

/// Arguments of `farm completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShellArguments {
    /// The shell
    shell: clap_complete::Shell,
}

/// Arguments of `farm man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArguments {
    /// Directory that receives a page a command, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Prints the script.
pub(crate) fn shell(arguments: &ShellArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "farm", &mut script);
    show::bytes(&script)
}

/// Writes the pages.
pub(crate) fn man(arguments: &ManArguments) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::environment(format!("cannot write to `{}`: {error}", arguments.directory.display()))
    };
    std::fs::create_dir_all(&arguments.directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &arguments.directory).map_err(failed)
}
