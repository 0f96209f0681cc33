//! `farm build`: from the command line to a request, and from a result to its outputs.
//!
//! Coordinator, worker and client run in this process, over the messages that they will exchange over a network.

mod arguments;
mod export;
mod local;
mod output;
mod session;
mod specs;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use farm_client::{Context, DockerfileText, stdin};
use farm_coordinator::{Blame, Error, Request};
use farm_dockerfile::ignore::IgnorePatterns;
use farm_dockerfile::lower::{NoCache, Options};
use farm_model::{BuildEvent, ContextName, OciDigest, Platform};
use tokio::sync::mpsc;

pub(crate) use arguments::Arguments;

use crate::build::output::Output;
use crate::build::session::Answers;
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::progress::{Mode, Plain};
use crate::{paths, progress};

/// How many events may wait to be shown.
const EVENTS: usize = 1024;

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    paths::require_root()?;
    let config = config::load(arguments.config.as_deref())?;
    let outputs = arguments.outputs.iter().map(|text| output::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let tags = tags(&arguments)?;
    let (request, answers) = request(&arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::environment(format!("cannot start the runtime: {error}")))?;
    let mode = if arguments.quiet { Mode::Quiet } else { arguments.progress };
    let job = Job { config, request, answers, outputs, tags, mode, iidfile: arguments.iidfile };
    runtime.block_on(job.run())
}

/// A command line that was understood.
struct Job {
    config: Config,
    request: Request,
    answers: Answers,
    outputs: Vec<Output>,
    tags: Vec<farm_model::Reference>,
    mode: Mode,
    iidfile: Option<PathBuf>,
}

impl Job {
    async fn run(self) -> Result<(), Failure> {
        let Self { config, request, answers, outputs, tags, mode, iidfile } = self;
        let mut interrupts = Interrupts::listen()
            .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
        let source = String::from_utf8_lossy(&request.dockerfile).into_owned();
        let name = request.dockerfile_name.clone();
        let farm = local::Farm::start(&config).await?;
        let (events, shown) = mpsc::channel(EVENTS);
        let show = show(shown, mode);
        let build = async {
            let built = farm.build(request, answers, events).await;
            built.map_err(|error| failure(&error, &name, &source))
        };
        let build = async { tokio::join!(build, show).0 };
        let finish = async {
            let built = build.await?;
            let wants_id = mode == Mode::Quiet || iidfile.is_some();
            export::write_all(&built, &farm.store, &outputs, &tags, wants_id).await
        };
        let result = tokio::select! {
            result = finish => result,
            () = interrupts.requested() => Err(Failure::interrupted()),
        };
        farm.stop().await;
        report(result?, mode, iidfile.as_deref())
    }
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
        Mode::Quiet => progress::print(&id.to_string()),
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

/// Reads what the command line names.
fn request(arguments: &Arguments) -> Result<(Request, Answers), Failure> {
    let mut answers = Answers::default();
    let (dockerfile, context, root) = sources(arguments)?;
    answers.contexts.insert(ContextName::main(), context);
    let mut options = Options::new(Platform::host());
    options.target.clone_from(&arguments.target);
    for text in &arguments.build_args {
        options.build_args.extend(specs::build_arg(text)?);
    }
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        options.build_args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch);
    }
    for text in &arguments.labels {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        options.labels.push((name.to_owned(), value.to_owned()));
    }
    for text in &arguments.build_contexts {
        let (name, context, directory) = specs::context(text)?;
        if let Some(directory) = directory {
            let ignore = farm_client::dockerfile::ignore_patterns_of(&directory).map_err(client)?;
            let context = Context::new(&directory, ignore).map_err(client)?;
            answers.contexts.insert(ContextName(name.clone()), context);
        }
        options.contexts.insert(name, context);
    }
    for text in &arguments.secrets {
        let (id, source) = specs::secret(text)?;
        answers.secrets.insert(id, source);
    }
    for text in &arguments.ssh {
        let (id, socket) = specs::ssh(text)?;
        answers.ssh.insert(id, socket);
    }
    options.no_cache = match (arguments.no_cache, arguments.no_cache_filter.as_slice()) {
        (true, _) => NoCache::All,
        (false, []) => NoCache::Never,
        (false, stages) => NoCache::Stages(stages.to_vec()),
    };
    options.network = specs::network(&arguments.network)?;
    options.extra_hosts =
        arguments.add_hosts.iter().map(|text| specs::host(text)).collect::<Result<_, _>>()?;
    options.ulimits = arguments.ulimits.iter().map(|text| specs::ulimit(text)).collect::<Result<_, _>>()?;
    options.shm_size = arguments.shm_size.as_ref().map(|text| specs::size("--shm-size", text)).transpose()?;
    options.platform = arguments.platform.as_ref().map(|text| platform(text)).transpose()?;
    answers.root = root;
    let request = Request {
        dockerfile: dockerfile.bytes,
        dockerfile_name: dockerfile.name,
        options,
        pull: arguments.pull,
    };
    Ok((request, answers))
}

fn platform(text: &str) -> Result<Platform, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("`--platform {text}`: {error}")))
}

/// The Dockerfile and the main context. A context from standard input lives as long as the returned directory.
fn sources(arguments: &Arguments) -> Result<(DockerfileText, Context, Option<tempfile::TempDir>), Failure> {
    let stdin_file = arguments.file.as_deref() == Some(Path::new("-"));
    let stdin_context = arguments.context == Path::new("-");
    if stdin_file && stdin_context {
        return Err(Failure::usage("the Dockerfile and the context cannot both come from standard input"));
    }
    if stdin_context {
        return from_stdin(arguments);
    }
    if !arguments.context.exists() {
        return Err(Failure::usage(format!("context `{}` does not exist", arguments.context.display())));
    }
    let dockerfile = if stdin_file {
        text_of_stdin()?
    } else {
        DockerfileText::find(arguments.file.as_deref(), &arguments.context).map_err(client)?
    };
    let ignore = dockerfile.ignore_patterns(&arguments.context).map_err(client)?;
    let context = Context::new(&arguments.context, ignore).map_err(client)?;
    Ok((dockerfile, context, None))
}

fn from_stdin(
    arguments: &Arguments,
) -> Result<(DockerfileText, Context, Option<tempfile::TempDir>), Failure> {
    match stdin::read(std::io::stdin().lock()).map_err(client)? {
        stdin::Input::Context(directory) => {
            let file = arguments.file.as_ref().map(|file| directory.path().join(file));
            let mut dockerfile = DockerfileText::find(file.as_deref(), directory.path()).map_err(client)?;
            let ignore = dockerfile.ignore_patterns(directory.path()).map_err(client)?;
            let context = Context::new(directory.path(), ignore).map_err(client)?;
            "Dockerfile".clone_into(&mut dockerfile.name);
            Ok((dockerfile, context, Some(directory)))
        }
        stdin::Input::Dockerfile(bytes) => {
            let directory = tempfile::tempdir().map_err(|error| {
                Failure::environment(format!("cannot make a temporary directory: {error}"))
            })?;
            let context = Context::new(directory.path(), IgnorePatterns::default()).map_err(client)?;
            let dockerfile = DockerfileText { bytes, name: "Dockerfile".to_owned(), path: None };
            Ok((dockerfile, context, Some(directory)))
        }
    }
}

fn text_of_stdin() -> Result<DockerfileText, Failure> {
    match stdin::read(std::io::stdin().lock()).map_err(client)? {
        stdin::Input::Dockerfile(bytes) => {
            Ok(DockerfileText { bytes, name: "Dockerfile".to_owned(), path: None })
        }
        stdin::Input::Context(_) => {
            Err(Failure::usage("standard input holds a tar, but `--file -` expects a Dockerfile")
                .with_hint(Some("give `-` as the context instead")))
        }
    }
}

fn client(error: farm_client::Error) -> Failure {
    let hint = error.hint();
    Failure::usage(error.to_string()).with_hint(hint)
}

/// A failed build as the user sees it: the place in the Dockerfile, the reason, the way out.
fn failure(error: &Error, name: &str, source: &str) -> Failure {
    if let Error::Dockerfile(diagnostic) = error {
        return Failure::of_build(Failure::USAGE, diagnostic.render(name, source));
    }
    let message = match error.step() {
        Some((step, lines)) => {
            let excerpt = lines.map(|lines| excerpt(name, source, lines)).unwrap_or_default();
            format!("{excerpt}step `{}` failed: {}", first_line(step), crate::failure::chain(error))
        }
        None => crate::failure::chain(error),
    };
    let code = match error.blame() {
        Blame::Dockerfile => Failure::USAGE,
        Blame::Build => Failure::BUILD,
        Blame::Environment => Failure::ENVIRONMENT,
        Blame::Internal => return Failure::internal(message).with_hint(error.hint()),
        Blame::Cancelled => return Failure::interrupted(),
    };
    Failure::of_build(code, message).with_hint(error.hint())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The lines of a step with two around them, marked.
fn excerpt(name: &str, source: &str, (first, last): (u32, u32)) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{name}:{first}\n");
    let range = first.saturating_sub(2).max(1)..=last.saturating_add(2);
    for (number, line) in (1_u32..).zip(source.lines()).filter(|(number, _)| range.contains(number)) {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        let _infallible = writeln!(text, "{number:4} | {mark} {line}");
    }
    text
}
