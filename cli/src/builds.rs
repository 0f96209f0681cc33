//! `farm builds`: what was built, what is being built, and its logs.

mod list;
mod relocate;
mod show_one;

use farm_client::Client;
use farm_model::event::Ending;
use farm_model::{BuildEvent, BuildId, Recorded};
use farm_proto::client::{BuildSummary, Interest, Reply, Request};

use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::progress::{self, Mode};

/// Arguments of `farm builds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List builds, the newest first
    List(list::Arguments),
    /// Show a build: its steps, what they took, what was cached
    Show(Which),
    /// Print the log of a build, or of one of its steps
    Logs {
        #[command(flatten)]
        which: Which,
        /// Go on while the build runs
        #[arg(short, long)]
        follow: bool,
    },
    /// Follow a build as if it had been started here; the exit code is the build's
    Attach {
        #[command(flatten)]
        which: Which,
        /// How progress is shown
        #[arg(long, value_name = "MODE", default_value = "auto")]
        progress: Mode,
    },
    /// Cancel a build for everybody who waits for it
    Cancel(Which),
    /// Take a running step from its worker and have it done by another
    Move(relocate::Arguments),
}

/// Which build.
#[derive(Debug, clap::Args)]
struct Which {
    /// Id of the build or its first digits [default: the last build]
    #[arg(value_name = "BUILD")]
    build: Option<String>,

    #[command(flatten)]
    connection: Options,
}

impl Which {
    async fn find(&self) -> Result<(Client, BuildId), Failure> {
        let client = connection::connect(&self.connection).await?;
        let build = match &self.build {
            None => latest(&client).await?,
            Some(text) => named(&client, text).await?.ok_or_else(|| {
                Failure::usage(format!("there is no build `{text}`"))
                    .with_hint(Some("`farm builds list` shows what there is"))
            })?,
        };
        Ok((client, build))
    }
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List(arguments) => crate::block_on(list::run(&arguments)),
        Command::Show(which) => crate::block_on(async {
            let (client, build) = which.find().await?;
            show_one::run(&client, build).await
        }),
        Command::Logs { which, follow } => crate::block_on(async {
            let (client, build) = which.find().await?;
            let running = summary(&client, build).await?.state == farm_proto::client::BuildState::Running;
            follow_log(&client, build, Mode::Plain, Interest::Watch, follow || !running).await.map(|_| ())
        }),
        Command::Attach { which, progress } => crate::block_on(async {
            let (client, build) = which.find().await?;
            let mut interrupts = Interrupts::listen()
                .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
            let ending = tokio::select! {
                ending = follow_log(&client, build, progress, Interest::Want, true) => Some(ending?),
                () = interrupts.requested() => None,
            };
            let Some(ending) = ending else {
                // Said before this process goes, so that the build does not wait for it.
                client.close().await;
                return Err(Failure::interrupted());
            };
            ending.map_or_else(
                || {
                    Err(Failure::environment("the coordinator went away")
                        .with_hint(Some(format!("farm builds attach {build}"))))
                },
                |ending| progress::conclude(&ending),
            )
        }),
        Command::Move(arguments) => crate::block_on(relocate::run(&arguments)),
        Command::Cancel(which) => crate::block_on(async {
            let (client, build) = which.find().await?;
            let Reply::Done = ask(&client, Request::Cancel { build }).await? else {
                return Err(Failure::unexpected());
            };
            Ok(())
        }),
    }
}

/// Asks once; what is refused is a failure.
pub(crate) async fn ask(client: &Client, request: Request) -> Result<Reply, Failure> {
    let reply = client.request(request).await.map_err(|error| Failure::connection(&error))?;
    if let Reply::Refused(refusal) = &reply { Err(Failure::refused(refusal)) } else { Ok(reply) }
}

/// The builds, the newest first.
async fn all(client: &Client, limit: u32) -> Result<Vec<BuildSummary>, Failure> {
    let Reply::Builds(builds) = ask(client, Request::Builds { limit }).await? else {
        return Err(Failure::unexpected());
    };
    Ok(builds)
}

/// The build that began last.
pub(crate) async fn latest(client: &Client) -> Result<BuildId, Failure> {
    let builds = all(client, 1).await?;
    builds.first().map(|build| build.build).ok_or_else(|| Failure::usage("nothing was built here yet"))
}

/// The build whose id begins like this; none when there is none.
pub(crate) async fn named(client: &Client, prefix: &str) -> Result<Option<BuildId>, Failure> {
    let prefix = prefix.to_ascii_lowercase();
    if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let builds = all(client, 0).await?;
    let mut found = builds.iter().filter(|build| build.build.to_string().starts_with(&prefix));
    match (found.next(), found.next()) {
        (Some(build), None) => Ok(Some(build.build)),
        (Some(_), Some(_)) => Err(Failure::usage(format!("several builds begin with `{prefix}`"))
            .with_hint(Some("give more digits"))),
        (None, _) => Ok(None),
    }
}

async fn summary(client: &Client, build: BuildId) -> Result<BuildSummary, Failure> {
    let found = all(client, 0).await?.into_iter().find(|summary| summary.build == build);
    found.ok_or_else(|| Failure::usage(format!("there is no build `{build}`")))
}

/// Hands on every event that a build has so far, and what follows until it ends.
pub(crate) async fn replay(
    client: &Client,
    build: BuildId,
    mut on_event: impl FnMut(Recorded),
) -> Result<(), Failure> {
    let summary = summary(client, build).await?;
    let running = summary.state == farm_proto::client::BuildState::Running;
    let mut replies = client
        .stream(Request::Attach { build, from: 0, interest: Interest::Watch })
        .await
        .map_err(|error| Failure::connection(&error))?;
    while let Some(reply) = next(&mut replies, running).await? {
        let (_, event) = event(reply)?;
        on_event(event);
    }
    Ok(())
}

/// How long a running build may be silent before what it said so far counts as all of it.
const SILENCE: std::time::Duration = std::time::Duration::from_millis(300);

/// The next reply; of a build that runs only those that are there already.
async fn next(replies: &mut farm_client::Replies, running: bool) -> Result<Option<Reply>, Failure> {
    let next = replies.next();
    let reply = if running {
        match tokio::time::timeout(SILENCE, next).await {
            Ok(reply) => reply,
            Err(_) => return Ok(None),
        }
    } else {
        next.await
    };
    reply.map_err(|error| Failure::connection(&error))
}

/// Shows a build's events; gives its ending, if it has ended.
async fn follow_log(
    client: &Client,
    build: BuildId,
    mode: Mode,
    interest: Interest,
    to_the_end: bool,
) -> Result<Option<Ending>, Failure> {
    let mut shown = progress::Progress::new(mode);
    let request = Request::Attach { build, from: 0, interest };
    let mut replies = client.stream(request).await.map_err(|error| Failure::connection(&error))?;
    while let Some(reply) = next(&mut replies, !to_the_end).await? {
        let (sequence, event) = event(reply)?;
        shown.event(sequence, &event);
        if let BuildEvent::Ended(ending) = event.event {
            return Ok(Some(ending));
        }
    }
    Ok(None)
}

/// An event and its sequence number.
fn event(reply: Reply) -> Result<(u64, Recorded), Failure> {
    let Reply::Event { sequence, recorded } = reply else {
        return Err(if let Reply::Refused(refusal) = &reply {
            Failure::refused(refusal)
        } else {
            Failure::unexpected()
        });
    };
    let event = farm_model::event::encoding::decode(&recorded).map_err(|error| {
        Failure::environment(format!("the coordinator sent an event that is not understood: {error}"))
    })?;
    Ok((sequence, event))
}
