//! `farm build`: from the command line to a request, and from its end to an exit code.
//!
//! The build itself is the coordinator's. This process reads the context, holds the secrets, writes the outputs and shows
//! what happens.

mod arguments;
mod budget;
mod detach;
mod metadata;
pub(crate) mod output;
mod request;
mod specs;
mod standard_input;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use farm_client::Answers;
use farm_model::event::Ending;
use farm_model::{BuildId, OciDigest, Recorded};
use farm_proto::client::BuildRequest;
use tokio::sync::oneshot;

pub(crate) use arguments::Arguments;

use crate::build::detach::Standing;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::interrupt::{Interrupts, StopFlag};
use crate::progress::{self, Mode, Progress};
use crate::{show, why};

/// How long threads that nobody waits for may go on after an end was asked for.
const PARTING: Duration = Duration::from_secs(2);
/// One that speaks to the coordinator, one that shows; reading and writing of files have threads of their own.
const THREADS: usize = 2;

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    output::check(&arguments)?;
    let standing = match detach::standing(&arguments)? {
        Standing::Launched => return Ok(()),
        here @ (Standing::Attached | Standing::Detached(_)) => here,
    };
    let build = match &standing {
        Standing::Detached(build) => *build,
        Standing::Attached | Standing::Launched => draw()?,
    };
    let mode = match (&standing, arguments.quiet, arguments.progress) {
        (Standing::Detached(_), _, _) | (_, true, _) => Mode::Quiet,
        // The plan itself is what is wanted, at the end.
        (_, _, Mode::Auto) if arguments.plan => Mode::Quiet,
        (_, _, chosen) => chosen,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::environment(format!("cannot start the runtime: {error}")))?;
    let job = Job { build, arguments, mode, standing };
    let result = runtime.block_on(job.run());
    runtime.shutdown_timeout(PARTING);
    result
}

/// A command line that was understood.
struct Job {
    build: BuildId,
    arguments: Arguments,
    mode: Mode,
    standing: Standing,
}

impl Job {
    async fn run(self) -> Result<(), Failure> {
        let mut interrupts = Interrupts::listen()
            .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
        let Self { build, arguments, mode, standing } = self;
        let (options, iidfile) = (arguments.connection.clone(), arguments.iidfile.clone());
        let mut plan = arguments.plan.then(why::Fold::default);
        let metadata_file = arguments.metadata_file.clone();
        let (request, answers) = prepare(build, arguments, &mut interrupts).await?;
        let (exported, names) = (answers.exported.clone(), request.names.clone());
        let mut shown = Progress::new(mode);
        let (leave, left) = oneshot::channel();
        let mut leave = Some(leave);
        let ending = {
            let mut show = |sequence, recorded: &Recorded| {
                if let Some(plan) = &mut plan {
                    plan.apply(&recorded.event);
                }
                shown.event(sequence, recorded);
            };
            let follow = follow(&options, request, answers, left, &standing, &mut show);
            tokio::pin!(follow);
            loop {
                tokio::select! {
                    ending = &mut follow => break ending,
                    () = interrupts.requested() => match leave.take() {
                        Some(leave) => {
                            progress::complain("stopping; once more to leave at once");
                            // Whoever listened has just ended.
                            let _ended = leave.send(());
                        }
                        None => break Err(Failure::interrupted()),
                    },
                }
            }
        };
        shown.finish();
        let ending = ending?;
        progress::conclude(&ending)?;
        if let Some(plan) = plan {
            return show::text(&plan.render(why::Tense::Future, None)?);
        }
        if let Some(path) = metadata_file {
            let id = if let Ending::Succeeded { image } = &ending { *image } else { None };
            metadata::write(&path, build, id, exported.last().as_ref(), &names)?;
        }
        if let Ending::Succeeded { image: Some(id) } = ending {
            report(id, mode, &standing, iidfile.as_deref())?;
        }
        Ok(())
    }
}

/// Reads what the command line names. What was unpacked from standard input is removed before an interruption ends it.
async fn prepare(
    build: BuildId,
    arguments: Arguments,
    interrupts: &mut Interrupts,
) -> Result<(BuildRequest, Answers), Failure> {
    let stop = StopFlag::default();
    let read = {
        let stop = stop.clone();
        apart(move || request::read(build, &arguments, &stop))
    };
    tokio::pin!(read);
    tokio::select! {
        request = &mut read => request,
        () = interrupts.requested() => {
            stop.set();
            let _late = tokio::time::timeout(PARTING, read).await;
            Err(Failure::interrupted())
        }
    }
}

/// Builds, and shows what happens.
async fn follow(
    options: &Options,
    request: BuildRequest,
    answers: Answers,
    left: oneshot::Receiver<()>,
    standing: &Standing,
    show: &mut impl FnMut(u64, &Recorded),
) -> Result<Ending, Failure> {
    let (again, told) = (Cell::new(false), Cell::new(false));
    let connect = async || {
        // Once a loss, however often it takes.
        if again.replace(true) && !told.replace(true) {
            progress::complain("the connection to the coordinator was lost; connecting again");
        }
        connection::connect_configured(options).await
    };
    let leave = async {
        // Without its other end nobody can ask to leave.
        if left.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let mut announced = false;
    let on_event = |sequence, recorded: Recorded| {
        told.set(false);
        if !announced {
            announced = true;
            standing.announce();
        }
        show(sequence, &recorded);
    };
    farm_client::build(connect, request, answers, leave, on_event).await
}

impl From<farm_client::Error> for Failure {
    fn from(error: farm_client::Error) -> Self {
        if let farm_client::Error::Refused(refusal) = &error {
            return Self::refused(refusal);
        }
        if matches!(error, farm_client::Error::Left) { Self::interrupted() } else { Self::connection(&error) }
    }
}

/// Runs `work`, which may wait for others without an end, in a thread that the end of the process does not wait for.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more after an interruption.
        let _gone = done.send(work());
    });
    result.await.map_err(|_| Failure::internal("a thread panicked while the build was prepared"))?
}

/// An id that nobody else has.
fn draw() -> Result<BuildId, Failure> {
    let mut id = [0; 8];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Failure::environment(format!("no random numbers can be had: {error}")))?;
    Ok(BuildId(id))
}

/// Says which image it was, where somebody wants to know.
fn report(id: OciDigest, mode: Mode, standing: &Standing, iidfile: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = iidfile {
        std::fs::write(path, id.to_string())
            .map_err(|error| Failure::environment(format!("cannot write `{}`: {error}", path.display())))?;
    }
    match (mode, standing) {
        (_, Standing::Detached(_)) | (Mode::Rawjson, _) => Ok(()),
        (Mode::Quiet, _) => progress::print(&id.to_string())
            .map_err(|error| Failure::environment(format!("cannot write to standard output: {error}"))),
        (Mode::Auto | Mode::Tty | Mode::Plain, _) => {
            progress::complain(&format!("image {id}"));
            Ok(())
        }
    }
}
