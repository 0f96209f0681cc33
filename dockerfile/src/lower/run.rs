//! `RUN`: what is run, and what it sees.

use farm_model::Op;
use farm_model::op::{Network, Run};

use super::history;
use super::stage::{Effect, StageBuilder};
use crate::ast::{Heredoc, Word};
use crate::diagnostic::{Error, Span};
use crate::instruction::{self, CommandLine, Form, NetworkMode};
use crate::parser::HeredocWord;

const DEFAULT_HOSTNAME: &str = "buildkitsandbox";
/// Where here-documents that are programs appear.
const PROGRAMS: &str = "/dev/pipes";
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Whether a build argument reaches commands without being declared.
pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

/// A command with its here-documents put where they belong.
struct Command {
    argv: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
    remark: Option<String>,
}

impl StageBuilder<'_, '_> {
    pub(super) fn run(&mut self, run: &instruction::Run, span: Span) -> Result<Effect, Error> {
        let Command { argv, files, remark } = self.command(&run.command, span)?;
        let mounts = self.mounts(&run.mounts)?;
        let options = &self.shared.plan.options;
        let mut env = self.outcome.variables.visible().entries().to_vec();
        if let Some(socket) =
            mounts.agent_socket.filter(|_| !env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK"))
        {
            env.push(("SSH_AUTH_SOCK".to_owned(), socket));
        }
        let hostname = options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME").or(options.hostname.as_ref());
        let op = Run {
            unkeyed_env: self.proxies(),
            env,
            user: self.outcome.config.user.clone(),
            workdir: self.outcome.directory.clone(),
            mounts: mounts.list,
            files,
            network: match run.network {
                NetworkMode::Default => options.network,
                NetworkMode::None => Network::None,
                NetworkMode::Host => Network::Host,
            },
            hostname: hostname
                .filter(|name| !name.is_empty())
                .map_or(DEFAULT_HOSTNAME, String::as_str)
                .to_owned(),
            extra_hosts: options.extra_hosts.clone(),
            shm_size: options.shm_size,
            ulimits: options.ulimits.clone(),
            argv,
        };
        let created_by = history::run(&op.argv, &self.shown_arguments());
        Ok(Effect { op: Op::Run(Box::new(op)), created_by, remark })
    }

    fn command(&self, command: &CommandLine, span: Span) -> Result<Command, Error> {
        let plain = |command: &CommandLine| Command {
            argv: command.with_shell(&self.shell()),
            files: Vec::new(),
            remark: None,
        };
        let (Form::Shell, [first, ..], [line]) = (command.form, &command.heredocs[..], &command.words[..])
        else {
            return Ok(plain(command));
        };
        let alone = HeredocWord::parse(line).ok().flatten().is_some();
        if !alone {
            let mut text = line.clone();
            for heredoc in &command.heredocs {
                text.push('\n');
                text.push_str(&heredoc.content);
                text.push_str(&heredoc.name);
            }
            return Ok(plain(&CommandLine { words: vec![text], form: Form::Shell, heredocs: Vec::new() }));
        }
        let mut shown = Command { remark: Some(summary(&first.content)), ..plain(command) };
        let text = first.chomped();
        let script = if text.starts_with("#!") {
            let path = format!("{PROGRAMS}/{}", file_name(first, span)?);
            shown.files.push((path.clone(), text.into_bytes()));
            path
        } else {
            text
        };
        shown.argv = self.shell();
        shown.argv.push(script);
        Ok(shown)
    }

    /// The proxies that were given and that no variable of the stage hides, in both spellings.
    fn proxies(&self) -> Vec<(String, String)> {
        let given = &self.shared.plan.options.build_args;
        let mut proxies = Vec::new();
        for name in PROXIES {
            let lower = name.to_ascii_lowercase();
            let other_case =
                || given.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            for spelling in [name, lower.as_str()] {
                let value = given.get(spelling).or_else(other_case);
                if let Some(value) =
                    value.filter(|_| self.outcome.variables.visible().get(spelling).is_none())
                {
                    proxies.push((spelling.to_owned(), value.clone()));
                }
            }
        }
        proxies
    }

    /// The arguments of this stage with the values that commands see.
    fn shown_arguments(&self) -> Vec<(String, String)> {
        let visible = self.outcome.variables.visible();
        let shown = self.arguments.iter().map(|(name, value)| {
            let value = visible.get(name).map(str::to_owned).or_else(|| value.clone());
            (name.clone(), value.unwrap_or_default())
        });
        shown.collect()
    }
}

/// A here-document's name becomes a file name, so it must not be a path.
fn file_name(heredoc: &Heredoc, span: Span) -> Result<&str, Error> {
    check_file_name(&Word { text: heredoc.name.clone(), span })?;
    Ok(&heredoc.name)
}

/// Refuses what cannot be the name of a file in a directory.
pub(super) fn check_file_name(word: &Word) -> Result<(), Error> {
    if word.text.contains(['/', '\0']) || matches!(word.text.as_str(), "." | ".." | "") {
        return Err(Error::new(
            word.span,
            format!("the here-document's name `{}` is no file name", word.text),
        )
        .with_hint("use a terminator such as `EOF`"));
    }
    Ok(())
}

/// The first line of a script.
fn summary(content: &str) -> String {
    let content = content.trim();
    match content.split_once('\n') {
        Some((first, _)) => format!("{}...", first.trim_end_matches('\r')),
        None => content.to_owned(),
    }
}
