//! `farm login` and `farm logout`: credentials for registries, kept where Docker keeps them.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use farm_oci::registry::login;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::failure::Failure;
use crate::{config, parts, progress};

const NOTES: &str = "\
Name and password are kept in `~/.docker/config.json` (DOCKER_CONFIG), or with the credential
helper that is configured there; the daemon and `docker` read them from the same place.";
/// Where one logs in without saying where.
const HUB: &str = "docker.io";
/// More than any token has.
const MOST_SECRET: u64 = 64 << 10;

/// Arguments of `farm login`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct LoginArguments {
    /// Name of the account; asked for on a terminal
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// The password; better given on a terminal or over standard input, where others cannot read it
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,

    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// Another configuration file
    #[arg(long, value_name = "FILE", env = "FARM_CONFIG")]
    config: Option<PathBuf>,

    /// Host and port of the registry [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

/// Arguments of `farm logout`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArguments {
    /// Another configuration file
    #[arg(long, value_name = "FILE", env = "FARM_CONFIG")]
    config: Option<PathBuf>,

    /// Host and port of the registry [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

/// Asks the registry whether it takes the credentials, and keeps them.
pub(crate) fn login(arguments: LoginArguments) -> Result<(), Failure> {
    let registry = arguments.registry.unwrap_or_else(|| HUB.to_owned());
    let settings = parts::registries(&config::load(arguments.config.as_deref())?);
    let user = match arguments.username {
        Some(user) => user,
        None => ask("user name: ", Echo::On)?,
    };
    let password = match arguments.password {
        Some(password) => password,
        None if arguments.password_stdin => from_stdin()?,
        None => ask("password: ", Echo::Off)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Failure::usage("name and password cannot be empty"));
    }
    crate::block_on(async { Ok(login::login(settings, &registry, &user, &password).await?) })?;
    progress::complain(&format!("logged in to {registry}"));
    Ok(())
}

/// Forgets the credentials.
pub(crate) fn logout(arguments: LogoutArguments) -> Result<(), Failure> {
    let registry = arguments.registry.unwrap_or_else(|| HUB.to_owned());
    let settings = parts::registries(&config::load(arguments.config.as_deref())?);
    let found = crate::block_on(async { Ok(login::logout(settings, &registry).await?) })?;
    progress::complain(&if found {
        format!("logged out of {registry}")
    } else {
        format!("nobody was logged in to {registry}")
    });
    Ok(())
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST_SECRET)
        .read_to_string(&mut text)
        .map_err(|error| Failure::environment(format!("cannot read the password: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Whether what is typed can be seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Echo {
    On,
    Off,
}

fn ask(question: &str, echo: Echo) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage("there is no terminal to ask for name and password")
            .with_hint(Some("use `--username NAME --password-stdin`")));
    }
    let unreadable =
        |error: std::io::Error| Failure::environment(format!("cannot read the terminal: {error}"));
    let before = tcgetattr(&stdin).map_err(|error| unreadable(error.into()))?;
    if echo == Echo::Off {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| unreadable(error.into()))?;
    }
    let mut stderr = std::io::stderr().lock();
    let _closed = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let mut line = String::new();
    let read = stdin.lock().take(MOST_SECRET).read_line(&mut line);
    if echo == Echo::Off {
        tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(|error| unreadable(error.into()))?;
        let _closed = writeln!(stderr);
    }
    read.map_err(unreadable)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
