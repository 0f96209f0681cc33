//! Building again: a three-stage image after no or a small change, and a fleet of images that share most of their steps.

use std::time::Duration;

use super::{Plan, Sink, cached, changed, cold, idle, median_of, times, unchanged};
use crate::farm::Run;
use crate::report::{Quantity, Row};
use crate::workload::{Workload, go, member};
use crate::{Error, baseline};

/// A build from source: cold, unchanged, and with another main file.
pub(super) fn three_stages(workload: Workload, plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let (context, farm) = (plan.context(workload)?, plan.farm(workload)?);
    let count = plan.few();
    let runs = cold(&farm, &context, count)?;
    sink(Row::of(workload.name(), "cold", &runs));

    // The last cold run's salt is the one whose results are there.
    let salt = format!("cold-{}", count - 1);
    let runs = unchanged(&farm, &context, &salt, plan.many())?;
    let walk = median_of(plan.many(), || baseline::walk(&context))?;
    let row = Row::of(workload.name(), "unchanged", &runs);
    let figure = times(&row, walk);
    sink(row.with("as long as asking for every file's status", figure).with("steps cached", cached(&runs)));

    let salt = format!("SALT={salt}");
    if workload == Workload::M1Small {
        let mut runs = Vec::new();
        for _ in 0..plan.many() {
            farm.stop()?;
            runs.push(farm.build(&context, &["--build-arg", &salt])?);
        }
        sink(Row::of(workload.name(), "daemon not running", &runs).with("steps cached", cached(&runs)));
    }
    let build = |farm: &crate::farm::Farm| farm.build(&context, &["--build-arg", &salt]);
    let change = |original: &[u8], index: usize| {
        // The program prints it, so that what is built from it changes too.
        let release = format!("const release = \"2.{index}\"");
        String::from_utf8_lossy(original).replace("const release = \"1\"", &release).into_bytes()
    };
    let runs = changed(&farm, &context.join(go::MAIN), plan.few(), build, change)?;
    let row = Row::of(workload.name(), "one file changed", &runs).with("steps cached", cached(&runs));
    sink(row.with("of memory the daemon occupies, idle", idle(&farm)));
    Ok(())
}

/// Every image of the fleet once, one after the other, and once more; a sample is an image.
pub(super) fn fleet(plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let (context, farm) = (plan.context(Workload::M4)?, plan.farm(Workload::M4)?);
    for run in ["cold, an image", "unchanged, an image"] {
        let runs = (0..plan.scale.images)
            .map(|index| farm.build(&context.join(member(index)), &[]))
            .collect::<Result<Vec<Run>, _>>()?;
        let total: Duration = runs.iter().map(|run| run.wall).sum();
        sink(Row::of("m4", run, &runs).with("for all of them in turn", Some(Quantity::Time(total))));
    }
    Ok(())
}
