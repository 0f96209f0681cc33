//! `farm run`: tries an image in the executor that builds use.

use std::io::Write as _;
use std::process::ExitCode;

use farm_model::event::Stream;
use farm_model::op::Network;
use farm_model::{Exit, Platform};
use farm_proto::client::{Reply, Request, RunRequest};

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::progress;

const NOTES: &str = "\
The exit code is the command's own; 128 and the number of the signal when one ended it.

Examples:
  farm run shop:1                         its entry point and command
  farm run shop:1 --version               arguments for its entry point
  farm run --entrypoint sh shop:1 -c 'ls -l /'";

/// Arguments of `farm run`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// A variable of the environment; without `=` it is taken from this one
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Program in place of the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,

    /// `user[:group]` in place of the image's
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// Working directory in place of the image's
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,

    /// Network that it sees
    #[arg(long, value_name = "default|none|host", default_value = "default")]
    network: String,

    /// What is written is always thrown away; accepted because `docker run` is typed with it
    #[arg(long, hide = true)]
    rm: bool,

    #[command(flatten)]
    connection: Options,

    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Command in place of the image's, or arguments for its entry point
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs the command; the exit code is the one of what ran.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let env = arguments.env.iter().filter_map(|text| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), std::env::var(text).ok()?)),
    });
    let network = match arguments.network.as_str() {
        "default" => Network::Default,
        "none" => Network::None,
        "host" => Network::Host,
        other => return Err(Failure::usage(format!("`--network {other}`: expected default, none or host"))),
    };
    let request = RunRequest {
        env: env.collect(),
        network,
        image: arguments.image,
        command: arguments.command,
        entrypoint: arguments.entrypoint.map(|program| vec![program]),
        user: arguments.user,
        workdir: arguments.workdir,
        platform: Platform::host(),
    };
    crate::block_on(follow(&arguments.connection, request))
}

/// What ends a process that writes where nobody reads.
const SIGPIPE: u8 = 13;

async fn follow(options: &Options, request: RunRequest) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
    let client = connection::connect_configured(options).await?;
    let mut replies =
        client.stream(Request::Run(Box::new(request))).await.map_err(|error| Failure::connection(&error))?;
    loop {
        let reply = tokio::select! {
            reply = replies.next() => reply.map_err(|error| Failure::connection(&error))?,
            // The command ends with the stream.
            () = interrupts.requested() => {
                drop(replies);
                client.close().await;
                return Err(Failure::interrupted());
            }
        };
        let reply =
            reply.ok_or_else(|| Failure::environment("the coordinator went away while the command ran"))?;
        if let Reply::Exited(exit) = reply {
            return Ok(code_of(exit));
        }
        if let Reply::Refused(refusal) = &reply {
            return Err(Failure::refused(refusal));
        }
        let Reply::Output { stream, bytes } = reply else { return Err(Failure::unexpected()) };
        let written = match stream {
            Stream::Stdout => std::io::stdout().lock().write_all(&bytes),
            Stream::Stderr => std::io::stderr().lock().write_all(&bytes),
        };
        if written.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
            // Whoever reads has seen enough: the command ends as it would in a shell.
            return Ok(code_of(Exit::Signal(SIGPIPE)));
        }
    }
}

fn code_of(exit: Exit) -> ExitCode {
    match exit {
        Exit::Code(code) => ExitCode::from(code),
        Exit::Signal(signal) => ExitCode::from(signal.saturating_add(128)),
        Exit::OutOfMemory | Exit::TimedOut => {
            progress::complain(&format!("error: {exit}"));
            ExitCode::from(137)
        }
    }
}
