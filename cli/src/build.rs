//! `farm build`: from the command line to a request, and from a result to its outputs.
//!
//! Coordinator, worker and client run in this process, over the messages that they will exchange over a network.

mod arguments;
mod diagnosis;
mod export;
mod local;
mod output;
mod request;
mod session;
mod specs;
mod standard_input;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use farm_model::{BuildEvent, OciDigest};
use tokio::sync::mpsc;

pub(crate) use arguments::Arguments;

use crate::build::output::Output;
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::interrupt::{Interrupts, StopFlag};
use crate::progress::{Mode, Plain};
use crate::{paths, progress};

/// How many events may wait to be shown.
const EVENTS: usize = 1024;

/// How long threads that nobody waits for may go on after an end was asked for. What they leave half done in the state
/// directory is swept at the next start.
const PARTING: Duration = Duration::from_secs(2);

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    paths::require_root()?;
    let config = config::load(arguments.config.as_deref())?;
    let outputs = arguments.outputs.iter().map(|text| output::parse(text)).collect::<Result<Vec<_>, _>>()?;
    output::check(&outputs, arguments.iidfile.as_deref())?;
    let tags = tags(&arguments)?;
    let mode = if arguments.quiet { Mode::Quiet } else { arguments.progress };
    if !tags.is_empty() && outputs.is_empty() && mode == Mode::Plain {
        progress::complain(
            "warning: `--tag` names nothing without `--output`; the result is kept as cache only",
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::environment(format!("cannot start the runtime: {error}")))?;
    let job = Job { config, arguments, outputs, tags, mode };
    let result = runtime.block_on(job.run());
    runtime.shutdown_timeout(PARTING);
    result
}

/// A command line that was understood.
struct Job {
    config: Config,
    arguments: Arguments,
    outputs: Vec<Output>,
    tags: Vec<farm_model::Reference>,
    mode: Mode,
}

impl Job {
    async fn run(self) -> Result<(), Failure> {
        let mut interrupts = Interrupts::listen()
            .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
        let Self { config, arguments, outputs, tags, mode } = self;
        let stop = StopFlag::default();
        let iidfile = arguments.iidfile.clone();
        let read = {
            let stop = stop.clone();
            apart(move || request::read(&arguments, &stop))
        };
        tokio::pin!(read);
        let (request, answers) = tokio::select! {
            request = &mut read => request?,
            () = interrupts.requested() => {
                stop.set();
                // What was unpacked from standard input is removed first.
                let _late = tokio::time::timeout(PARTING, read).await;
                return Err(Failure::interrupted());
            }
        };
        let farm = tokio::select! {
            farm = local::Farm::start(&config) => farm?,
            () = interrupts.requested() => return Err(Failure::interrupted()),
        };
        let source = String::from_utf8_lossy(&request.dockerfile).into_owned();
        let name = request.dockerfile_name.clone();
        let (events, shown) = mpsc::channel(EVENTS);
        let show = show(shown, mode);
        let build = async {
            let built = farm.build(request, answers, events).await;
            built.map_err(|error| diagnosis::failure(&error, &name, &source))
        };
        let build = async { tokio::join!(build, show).0 };
        let finish = async {
            let result = build.await?;
            let export = export::Export { built: &result, store: &farm.store, tags: &tags, stop: &stop };
            export.write_all(&outputs, mode == Mode::Quiet || iidfile.is_some()).await
        };
        let result = tokio::select! {
            result = finish => result,
            () = interrupts.requested() => {
                progress::complain("stopping; once more to leave without cleaning up");
                stop.set();
                Err(Failure::interrupted())
            }
        };
        tokio::select! {
            () = farm.stop() => {}
            () = interrupts.requested() => return Err(Failure::interrupted()),
        }
        report(result?, mode, iidfile.as_deref())
    }
}

/// Runs `work`, which may wait for others without an end, in a thread that the end of the process does not wait for.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more after an interruption.
        let _gone = done.send(work());
    });
    result.await.map_err(|_| Failure::internal("a thread panicked while the build was prepared"))?
}

/// Shows events until the build ends.
async fn show(mut events: mpsc::Receiver<BuildEvent>, mode: Mode) {
    let mut plain = Plain::default();
    while let Some(event) = events.recv().await {
        if mode == Mode::Plain {
            let text = plain.render(&event);
            if !text.is_empty() {
                // A closed terminal is no reason to stop a build.
                let _closed = std::io::stderr().lock().write_all(text.as_bytes());
            }
        }
    }
}

/// Says which image it was, where somebody wants to know.
fn report(id: Option<OciDigest>, mode: Mode, iidfile: Option<&Path>) -> Result<(), Failure> {
    let Some(id) = id else { return Ok(()) };
    if let Some(path) = iidfile {
        std::fs::write(path, id.to_string())
            .map_err(|error| Failure::environment(format!("cannot write `{}`: {error}", path.display())))?;
    }
    match mode {
        Mode::Quiet => progress::print(&id.to_string())
            .map_err(|error| Failure::environment(format!("cannot write to standard output: {error}")))?,
        Mode::Plain => progress::complain(&format!("image {id}")),
    }
    Ok(())
}

fn tags(arguments: &Arguments) -> Result<Vec<farm_model::Reference>, Failure> {
    let parse = |text: &String| {
        let reference: farm_model::Reference =
            text.parse().map_err(|error| Failure::usage(format!("`--tag {text}`: {error}")))?;
        match reference.digest {
            None => Ok(reference),
            Some(_) => Err(Failure::usage(format!("`--tag {text}`: a tag cannot carry a digest"))),
        }
    };
    arguments.tags.iter().map(parse).collect()
}
