//! Which parts of its contexts a build reads, so that the client scans no more than that.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::op::{MountKind, Op, Origin, Source};
use farm_model::{Base, BuildGraph, ContextName};

/// For each context, paths below its root without wildcards; the empty one is all of it.
pub(super) fn wanted_paths(graph: &BuildGraph) -> BTreeMap<ContextName, Vec<String>> {
    let mut wanted: BTreeMap<ContextName, BTreeSet<String>> = BTreeMap::new();
    let mut want = |origin: &Origin, path: Option<&str>| {
        if let Origin::Context(context) = origin {
            wanted.entry(context.clone()).or_default().extend(path.map(fixed_prefix));
        }
    };
    for step in graph.stages.iter().flat_map(|stage| &stage.steps) {
        match &step.op {
            Op::Copy(copy) => {
                // A copy of scripts and downloads alone names a context too, and wants nothing of it.
                want(&copy.from, None);
                for source in &copy.sources {
                    if let Source::Path(path) = source {
                        want(&copy.from, Some(path));
                    }
                }
            }
            Op::Run(run) => {
                for mount in &run.mounts {
                    match &mount.kind {
                        MountKind::Bind { from, source, .. }
                        | MountKind::Cache { from: Some(from), source, .. } => want(from, Some(source)),
                        MountKind::Cache { .. }
                        | MountKind::Tmpfs { .. }
                        | MountKind::Secret { .. }
                        | MountKind::Ssh { .. } => {}
                    }
                }
            }
            Op::Metadata | Op::Workdir(_) => {}
        }
    }
    for stage in &graph.stages {
        if let Base::Context(context) = &stage.base {
            wanted.entry(context.clone()).or_default().insert(String::new());
        }
    }
    wanted.into_iter().map(|(context, paths)| (context, paths.into_iter().collect())).collect()
}

/// The components of a path before the first one that holds a wildcard.
fn fixed_prefix(path: &str) -> String {
    let fixed = path.split('/').take_while(|component| !component.contains(['*', '?', '[', '\\']));
    fixed.filter(|component| !component.is_empty() && *component != ".").collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_ends_the_part_of_a_path_that_is_known() {
        assert_eq!(fixed_prefix("./a/b*/c"), "a");
        assert_eq!(fixed_prefix("*.txt"), "");
        assert_eq!(fixed_prefix("/a/b"), "a/b");
        assert_eq!(fixed_prefix("."), "");
    }
}
