//! `RUN`.

use super::command::CommandLine;
use super::flags::{Flags, Takes};
use super::mount::MountSpec;
use crate::ast::{Node, Word};
use crate::diagnostic::Error;

/// `RUN`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Run {
    /// What is run.
    pub command: CommandLine,
    /// `--mount`, in order.
    pub mounts: Vec<MountSpec>,
    /// `--network`.
    pub network: NetworkMode,
    /// The names of the flags that were given.
    pub flags: Vec<&'static str>,
}

/// `--network` of a `RUN`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkMode {
    /// What the build says.
    Default,
    /// None but loopback.
    None,
    /// The host's.
    Host,
}

const FLAGS: [(&str, Takes); 4] =
    [("mount", Takes::List), ("network", Takes::Text), ("security", Takes::Text), ("device", Takes::List)];

impl Run {
    pub(super) fn parse(node: &Node) -> Result<Self, Error> {
        let flags = Flags::parse(node, &FLAGS)?;
        let names = flags.names();
        if let Some(span) = flags.span("device") {
            return Err(Error::new(span, "RUN --device is not supported yet").with_hint("remove the flag"));
        }
        security(&flags)?;
        let mounts = flags.list("mount").iter().map(MountSpec::parse).collect::<Result<_, _>>()?;
        if node.args.is_empty() {
            return Err(Error::new(node.span, "RUN requires at least one argument")
                .with_hint("write the command that is to be run"));
        }
        Ok(Self {
            command: CommandLine::new(node),
            mounts,
            network: network(flags.text("network"))?,
            flags: names,
        })
    }
}

fn network(flag: Option<Word>) -> Result<NetworkMode, Error> {
    let Some(word) = flag else {
        return Ok(NetworkMode::Default);
    };
    match word.text.as_str() {
        "default" => Ok(NetworkMode::Default),
        "none" => Ok(NetworkMode::None),
        "host" => Ok(NetworkMode::Host),
        other => {
            let error = Error::new(word.span, format!("unsupported network mode \"{other}\""));
            Err(error.with_hint("one of `default`, `none` and `host`"))
        }
    }
}

fn security(flags: &Flags) -> Result<(), Error> {
    let Some(word) = flags.text("security") else {
        return Ok(());
    };
    match word.text.as_str() {
        "sandbox" => Ok(()),
        "insecure" => Err(Error::new(word.span, "RUN --security=insecure is not supported yet")
            .with_hint("remove the flag; the step then runs with Docker's default capabilities")),
        other => {
            let error = Error::new(word.span, format!("security \"{other}\" is not valid"));
            Err(error.with_hint("the value that is supported is `sandbox`"))
        }
    }
}
