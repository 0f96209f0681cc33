//! The way out of an error, when there is one.

use farm_model::Exit;

use crate::Error;

impl Error {
    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dockerfile(diagnostic) => diagnostic.hint.clone(),
            Self::Step { source, .. } => source.hint(),
            Self::Image { source, .. } | Self::Oci(source) => source.hint(),
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Tree(error) => error.hint().map(str::to_owned),
            Self::Exchange(error) => error.hint().map(str::to_owned),
            Self::Worker(failure) => failure.hint.clone(),
            Self::Context { hint, .. } | Self::Output { hint, .. } | Self::Secret { hint, .. } => {
                hint.clone()
            }
            Self::OverBudget { hint, .. } => Some(hint.clone()),
            Self::ContextChanges(_) => {
                Some("stop what writes to the context, or ignore it in .dockerignore".to_owned())
            }
            Self::SecretMissing(id) => Some(format!("give it with `--secret id={id},src=FILE`")),
            Self::SshMissing(id) => Some(format!("give it with `--ssh {id}`")),
            Self::Process { exit: Exit::OutOfMemory, .. } => {
                Some("raise the memory limit of the step or of the machine".to_owned())
            }
            Self::Process { exit: Exit::Code(127), .. } => {
                Some("the command, or the interpreter it names, is not in the image".to_owned())
            }
            Self::LayerLost(_) => Some("run the build again; the lost layers are made anew".to_owned()),
            Self::BaseBlobGone { cause: Some(cause), .. } => cause.hint(),
            Self::BaseBlobGone { cause: None, .. } => {
                Some("pull the base image with `farm pull`, or load it from where it came".to_owned())
            }
            Self::NoBuild(_) => Some("`farm builds list` shows the builds that are known".to_owned()),
            Self::NoSuchImage(_) => Some("`farm images` shows the images that have a name".to_owned()),
            Self::Pinned(name) => Some(format!("let it go with `farm unpin {name}` first")),
            Self::NoSuchWorker(_) => Some("`farm workers` shows the workers of the farm".to_owned()),
            Self::RunsNowhere { build, .. } => {
                Some(format!("`farm builds show {build}` shows what runs where"))
            }
            Self::AmbiguousImage(_) => Some("give more digits, or a name".to_owned()),
            Self::NoCommand(_) => Some("name a command after the image".to_owned()),
            Self::NewerImage(name) => {
                Some(format!("prune with that version, or give the image up with `farm rmi {name}`"))
            }
            Self::Stopping => Some("run the build again in a moment".to_owned()),
            Self::Process { .. }
            | Self::NoWorker(_)
            | Self::ClientGone
            | Self::ClientSilent { .. }
            | Self::ClientConfused(_)
            | Self::Transport(_)
            | Self::State { .. }
            | Self::User(_)
            | Self::NotPlanned(_)
            | Self::NoSuchLayer { .. }
            | Self::NotYours(_)
            | Self::NotAllowed(_)
            | Self::WouldRun
            | Self::Cancelled
            | Self::Panicked(_) => None,
        }
    }
}
