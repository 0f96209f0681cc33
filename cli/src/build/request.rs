//! From the command line to a request: the Dockerfile, the context, and everything that options add.
//!
//! What the user named must be there before anything is built; a missing secret is no surprise for the last step.

use std::path::Path;

use farm_client::{Context, DockerfileText, stdin};
use farm_coordinator::Request;
use farm_dockerfile::ignore::IgnorePatterns;
use farm_dockerfile::lower::{NoCache, Options};
use farm_model::{ContextName, Platform};

use crate::build::session::Answers;
use crate::build::standard_input::StandardInput;
use crate::build::{Arguments, specs};
use crate::failure::Failure;
use crate::interrupt::StopFlag;

/// Reads what the command line names.
///
/// Blocks for as long as standard input takes, until `stop` is set.
pub(super) fn read(arguments: &Arguments, stop: &StopFlag) -> Result<(Request, Answers), Failure> {
    let mut answers = Answers::default();
    let options = options(arguments, &mut answers)?;
    let (dockerfile, context, root) = sources(arguments, stop)?;
    answers.contexts.insert(ContextName::main(), context);
    answers.root = root;
    let request = Request {
        dockerfile: dockerfile.bytes,
        dockerfile_name: dockerfile.name,
        options,
        pull: arguments.pull,
    };
    Ok((request, answers))
}

fn options(arguments: &Arguments, answers: &mut Answers) -> Result<Options, Failure> {
    let mut options = Options::new(Platform::host());
    options.target.clone_from(&arguments.target);
    for text in &arguments.build_args {
        options.build_args.extend(specs::build_arg(text)?);
    }
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        options.build_args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch);
    }
    for text in &arguments.labels {
        options.labels.push(specs::label(text)?);
    }
    for text in &arguments.build_contexts {
        let (name, context, directory) = specs::context(text)?;
        if let Some(directory) = directory {
            let ignore =
                farm_client::dockerfile::ignore_patterns_of(&directory).map_err(|error| client(&error))?;
            let context = Context::new(&directory, ignore).map_err(|error| client(&error))?;
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
    Ok(options)
}

fn platform(text: &str) -> Result<Platform, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("`--platform {text}`: {error}")))
}

/// The Dockerfile, its context, and the directory that goes when the build ends.
type Sources = (DockerfileText, Context, Option<tempfile::TempDir>);

/// The Dockerfile and the main context. A context from standard input lives as long as the returned directory.
fn sources(arguments: &Arguments, stop: &StopFlag) -> Result<Sources, Failure> {
    let stdin_file = arguments.file.as_deref() == Some(Path::new("-"));
    let stdin_context = arguments.context == Path::new("-");
    if stdin_file && stdin_context {
        return Err(Failure::usage("the Dockerfile and the context cannot both come from standard input"));
    }
    if stdin_context {
        return from_stdin(arguments, stop);
    }
    check_context(&arguments.context)?;
    let dockerfile =
        if stdin_file { text_of_stdin(stop)? } else { find(arguments.file.as_deref(), &arguments.context)? };
    let ignore = dockerfile.ignore_patterns(&arguments.context).map_err(|error| client(&error))?;
    let context = Context::new(&arguments.context, ignore).map_err(|error| client(&error))?;
    Ok((dockerfile, context, None))
}

fn check_context(context: &Path) -> Result<(), Failure> {
    let shown = context.display();
    if context.is_dir() {
        return Ok(());
    }
    let hint = "give the directory that COPY reads from, or `-` for standard input";
    let problem = if context.exists() { "is not a directory" } else { "does not exist" };
    Err(Failure::usage(format!("context `{shown}` {problem}")).with_hint(Some(hint)))
}

fn find(file: Option<&Path>, context: &Path) -> Result<DockerfileText, Failure> {
    DockerfileText::find(file, context).map_err(|error| match (&error, file) {
        (farm_client::Error::Io { source, .. }, Some(file)) => {
            Failure::usage(format!("cannot read the Dockerfile `{}`: {source}", file.display()))
                .with_hint(Some("`--file` is relative to the working directory or to the context"))
        }
        _ => client(&error),
    })
}

fn from_stdin(arguments: &Arguments, stop: &StopFlag) -> Result<Sources, Failure> {
    match stdin::read(StandardInput::new(stop.clone())).map_err(|error| client(&error))? {
        stdin::Input::Context(directory) => {
            let file = arguments.file.as_ref().map(|file| directory.path().join(file));
            let named = arguments.file.as_deref().unwrap_or(Path::new("Dockerfile"));
            let mut dockerfile = DockerfileText::find(file.as_deref(), directory.path()).map_err(|_| {
                Failure::usage(format!("no `{}` in the tar from standard input", named.display()))
                    .with_hint(Some("name it with `--file`, as it is called in the tar"))
            })?;
            let ignore = dockerfile.ignore_patterns(directory.path()).map_err(|error| client(&error))?;
            let context = Context::new(directory.path(), ignore).map_err(|error| client(&error))?;
            dockerfile.name = named.display().to_string();
            Ok((dockerfile, context, Some(directory)))
        }
        stdin::Input::Dockerfile(bytes) => {
            let directory = tempfile::tempdir().map_err(|error| {
                Failure::environment(format!("cannot make a temporary directory: {error}"))
            })?;
            let context =
                Context::new(directory.path(), IgnorePatterns::default()).map_err(|error| client(&error))?;
            let dockerfile = DockerfileText { bytes, name: "Dockerfile".to_owned(), path: None };
            Ok((dockerfile, context, Some(directory)))
        }
    }
}

fn text_of_stdin(stop: &StopFlag) -> Result<DockerfileText, Failure> {
    match stdin::read(StandardInput::new(stop.clone())).map_err(|error| client(&error))? {
        stdin::Input::Dockerfile(bytes) => {
            Ok(DockerfileText { bytes, name: "Dockerfile".to_owned(), path: None })
        }
        stdin::Input::Context(_) => {
            Err(Failure::usage("standard input holds a tar, but `--file -` expects a Dockerfile")
                .with_hint(Some("give `-` as the context instead")))
        }
    }
}

fn client(error: &farm_client::Error) -> Failure {
    let hint = error.hint();
    Failure::usage(error.to_string()).with_hint(hint)
}
