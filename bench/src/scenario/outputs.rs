//! Steps with large outputs: what committing them costs, and what exporting them costs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Plan, Sink, cached, idle, unchanged};
use crate::farm::{Farm, Run};
use crate::report::{Quantity, Row};
use crate::samples::{Samples, ratio};
use crate::workload::{SMALL_BYTES, Workload};
use crate::{Error, baseline};

/// A RUN that writes a lot, next to the same program outside any container.
pub(super) fn large(workload: Workload, plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let (context, farm) = (plan.context(workload)?, plan.farm(workload)?);
    let (mut runs, mut generated, mut hashed) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..plan.few() {
        let salt = format!("SALT=large-{index}");
        runs.push(farm.build(&context, &["--build-arg", &salt])?);
        let bytes = farm.path(&format!("bare-{index}"));
        let (generate, hash) = bare(workload, plan, &context, &bytes)?;
        generated.push(generate);
        hashed.push(hash);
    }
    let commit = runs.iter().filter_map(|run| run.commit("RUN")).collect::<Samples>().median();
    let (generate, hash) = (median(generated), median(hashed));
    let commit_ratio = commit.zip(hash).and_then(|(commit, hash)| ratio(commit, hash));
    let row = Row::of(workload.name(), "cold", &runs)
        .with("the same program outside a container", generate.map(Quantity::Time))
        .with("from its exit to the step's record, start included", commit.map(Quantity::Time))
        .with("reading and BLAKE3 of its bytes", hash.map(Quantity::Time))
        .with("exit to record, to reading and BLAKE3 of its bytes", commit_ratio.map(Quantity::Ratio))
        .with("of memory the daemon occupies, idle", idle(&farm));
    sink(row);

    let warm = unchanged(&farm, &context, "large-0", plan.many())?;
    sink(Row::of(workload.name(), "unchanged", &warm).with("steps cached", cached(&warm)));
    for (run, compression) in [("export uncompressed", "uncompressed"), ("export gzip", "gzip")] {
        let runs = vec![export(&farm, &context, compression)?];
        let row = Row::of(workload.name(), run, &runs);
        let figure = super::times(&row, hash);
        sink(row.with("as long as reading and BLAKE3 of its bytes", figure));
    }
    Ok(())
}

/// Generates the step's bytes beside the store, and reads them. They stay: deleting many files slows what comes next.
fn bare(
    workload: Workload,
    plan: &Plan,
    context: &Path,
    output: &Path,
) -> Result<(Duration, Duration), Error> {
    let (path, program) = (output.to_string_lossy().into_owned(), context.join("datagen"));
    let (files, bytes) = (plan.scale.small_files().to_string(), plan.scale.large_bytes().to_string());
    let small = SMALL_BYTES.to_string();
    let words = if workload == Workload::M5b {
        vec!["many", &path, &files, &small]
    } else {
        vec!["one", &path, &bytes]
    };
    let generate = baseline::run(&program, &words)?;
    Ok((generate, baseline::read_and_hash(output)?))
}

/// The first export of an image that is built already.
fn export(farm: &Farm, context: &Path, compression: &str) -> Result<Run, Error> {
    let archive = farm.path("image.tar");
    let output = format!("type=oci,dest={},compression={compression}", archive.display());
    let run = farm.build(context, &["--build-arg", "SALT=large-0", "--output", &output])?;
    fs::remove_file(&archive).map_err(Error::file("remove", &archive))?;
    Ok(run)
}

fn median(durations: Vec<Duration>) -> Option<Duration> {
    durations.into_iter().collect::<Samples>().median()
}
