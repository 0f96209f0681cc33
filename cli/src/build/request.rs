//! From the command line to a request: the Dockerfile, the context, and everything that options add.
//!
//! What the user named must be there before anything is built; a missing secret is no surprise for the last step.

use std::collections::BTreeMap;
use std::path::Path;

use farm_client::{Answers, Context, DockerfileText, stdin};
use farm_dockerfile::ignore::IgnorePatterns;
use farm_model::{BuildId, ContextName, Platform, Reference};
use farm_proto::client::{BuildRequest, Goal, NamedContext, NoCache};

use crate::build::standard_input::StandardInput;
use crate::build::{Arguments, budget, output, specs};
use crate::failure::Failure;
use crate::interrupt::StopFlag;
use crate::paths;
use crate::progress::Mode;

/// Reads what the command line names.
///
/// Blocks for as long as standard input takes, until `stop` is set.
pub(super) fn read(
    build: BuildId,
    arguments: &Arguments,
    stop: &StopFlag,
) -> Result<(BuildRequest, Answers), Failure> {
    let mut answers = Answers::default();
    let contexts = contexts(arguments, &mut answers)?;
    let outputs = output::all(arguments)?;
    for text in &arguments.secrets {
        let (id, source) = specs::secret(text)?;
        answers.secrets.insert(id, source);
    }
    for text in &arguments.ssh {
        let (id, socket) = specs::ssh(text)?;
        answers.agents.insert(id, socket);
    }
    let mut names: Vec<Reference> = arguments.tags.iter().map(|text| name(text)).collect::<Result<_, _>>()?;
    for name in output::names(&outputs) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let budget = budget::budget(arguments, names.len())?;
    answers.outputs = outputs.iter().map(|output| output.destination.clone()).collect();
    let request = BuildRequest {
        build,
        goal: if arguments.plan { Goal::Plan } else { Goal::Image },
        context_name: context_name(&arguments.context),
        target: arguments.target.clone(),
        build_args: build_args(arguments)?,
        labels: arguments.labels.iter().map(|text| specs::label(text)).collect::<Result<_, _>>()?,
        contexts,
        platform: arguments.platform.as_ref().map(|text| platform(text)).transpose()?,
        build_platform: Platform::host(),
        no_cache: match (arguments.no_cache, arguments.no_cache_filter.as_slice()) {
            (true, _) => NoCache::All,
            (false, []) => NoCache::Never,
            (false, stages) => NoCache::Stages(stages.to_vec()),
        },
        network: specs::network(&arguments.network)?,
        extra_hosts: arguments.add_hosts.iter().map(|text| specs::host(text)).collect::<Result<_, _>>()?,
        shm_size: arguments.shm_size.as_ref().map(|text| specs::size("--shm-size", text)).transpose()?,
        ulimits: arguments.ulimits.iter().map(|text| specs::ulimit(text)).collect::<Result<_, _>>()?,
        pull: arguments.pull,
        names,
        outputs: outputs.into_iter().map(|output| output.wanted).collect(),
        wants_image_id: !arguments.plan
            && (quiet(arguments) || arguments.iidfile.is_some() || arguments.metadata_file.is_some()),
        budget,
        dockerfile: Vec::new(),
        dockerfile_name: String::new(),
    };
    // Last, because standard input may take long and what is wrong above is known at once.
    let (dockerfile, context, root) = sources(arguments, stop)?;
    answers.contexts.insert(ContextName::main(), remembered(context, root.as_ref()));
    answers.root = root;
    Ok((BuildRequest { dockerfile: dockerfile.bytes, dockerfile_name: dockerfile.name, ..request }, answers))
}

fn quiet(arguments: &Arguments) -> bool {
    arguments.quiet || arguments.progress == Mode::Quiet
}

/// What to call the context in lists: where it is, since a dot says nothing there.
fn context_name(context: &Path) -> String {
    if context == Path::new("-") {
        return "-".to_owned();
    }
    std::fs::canonicalize(context).unwrap_or_else(|_| context.to_owned()).display().to_string()
}

/// A context whose files are remembered from build to build; one that came over standard input lies somewhere else each
/// time.
fn remembered(context: Context, root: Option<&tempfile::TempDir>) -> Context {
    if root.is_some() { context } else { context.remembered_in(paths::state().join("client")) }
}

fn build_args(arguments: &Arguments) -> Result<BTreeMap<String, String>, Failure> {
    let mut build_args = BTreeMap::new();
    for text in &arguments.build_args {
        build_args.extend(specs::build_arg(text)?);
    }
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        build_args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch);
    }
    Ok(build_args)
}

fn contexts(arguments: &Arguments, answers: &mut Answers) -> Result<BTreeMap<String, NamedContext>, Failure> {
    let mut contexts = BTreeMap::new();
    for text in &arguments.build_contexts {
        let (name, context, directory) = specs::context(text)?;
        if let Some(directory) = directory {
            answers.contexts.insert(ContextName(name.clone()), directory_context(&directory)?);
        }
        contexts.insert(name, context);
    }
    Ok(contexts)
}

fn directory_context(directory: &Path) -> Result<Context, Failure> {
    let ignore = farm_client::dockerfile::ignore_patterns_of(directory).map_err(|error| client(&error))?;
    let context = Context::new(directory, ignore).map_err(|error| client(&error))?;
    Ok(remembered(context, None))
}

fn name(text: &str) -> Result<Reference, Failure> {
    let reference: Reference =
        text.parse().map_err(|error| Failure::usage(format!("`--tag {text}`: {error}")))?;
    match reference.digest {
        None => Ok(reference),
        Some(_) => Err(Failure::usage(format!("`--tag {text}`: a tag cannot carry a digest"))),
    }
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
