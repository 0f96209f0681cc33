//! How much memory lowered pieces take, about: what a short Dockerfile can blow up must be bounded.

use farm_model::op::{Copy, MountKind, Run, Source};
use farm_model::{ImageConfig, Op};

/// What a step takes besides its texts.
const FIXED: usize = 256;

pub(super) fn of_op(op: &Op) -> usize {
    FIXED
        + match op {
            Op::Metadata => 0,
            Op::Workdir(workdir) => workdir.path.len() + workdir.user.len(),
            Op::Copy(copy) => of_copy(copy),
            Op::Run(run) => of_run(run),
        }
}

fn of_copy(copy: &Copy) -> usize {
    let source = |source: &Source| match source {
        Source::Path(path) => path.len(),
        Source::Inline { name, content } => name.len() + content.len(),
        Source::Url { url, .. } => url.len(),
    };
    copy.sources.iter().map(source).sum::<usize>()
        + of_texts(&copy.exclude)
        + copy.destination.len()
        + copy.workdir.len()
        + copy.chown.as_ref().map_or(0, String::len)
}

fn of_run(run: &Run) -> usize {
    let mount = |kind: &MountKind| match kind {
        MountKind::Bind { source, .. } => source.len(),
        MountKind::Cache { id, source, .. } => id.len() + source.len(),
        MountKind::Tmpfs { .. } => 0,
        MountKind::Secret { id, env, .. } => id.len() + env.as_ref().map_or(0, String::len),
        MountKind::Ssh { id, .. } => id.len(),
    };
    of_texts(&run.argv)
        + of_pairs(&run.env)
        + of_pairs(&run.unkeyed_env)
        + run.user.len()
        + run.workdir.len()
        + run.mounts.iter().map(|given| FIXED + given.target.len() + mount(&given.kind)).sum::<usize>()
        + run.files.iter().map(|(path, content)| path.len() + content.len()).sum::<usize>()
}

/// A configuration without its environment, which is counted with the variables.
pub(super) fn of_config(config: &ImageConfig) -> usize {
    let lists = [&config.cmd, &config.entrypoint, &config.shell];
    let labels = config.labels.iter().map(|(name, value)| name.len() + value.len() + FIXED);
    let ports = config.exposed_ports.iter().chain(&config.volumes).map(|text| text.len() + FIXED);
    FIXED
        + labels.sum::<usize>()
        + ports.sum::<usize>()
        + lists.into_iter().flatten().map(|list| of_texts(list)).sum::<usize>()
        + config.healthcheck.as_ref().map_or(0, |check| of_texts(&check.test))
        + of_texts(&config.on_build)
        + config.user.len()
        + config.working_dir.len()
        + config.author.as_ref().map_or(0, String::len)
}

fn of_texts(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len() + size_of::<String>()).sum()
}

fn of_pairs(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>()).sum()
}
