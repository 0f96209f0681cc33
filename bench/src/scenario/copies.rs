//! A COPY of many files: first, unchanged, and with one file changed.

use super::{Plan, Sink, cached, changed, idle, median_of, times, unchanged};
use crate::report::Row;
use crate::workload::{Workload, files};
use crate::{Error, baseline};

/// The result is an image in the store.
const NAMED: [&str; 2] = ["--tag", "wide"];

/// The first run starts with an empty store each time: a salt does not make a COPY miss.
pub(super) fn wide(plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let context = plan.context(Workload::M7)?;
    let data = context.join("data");
    let (mut first, mut copies) = (Vec::new(), Vec::new());
    let mut farm = plan.farm(Workload::M7)?;
    for index in 0..plan.few() {
        if index > 0 {
            farm = plan.farm(Workload::M7)?;
        }
        first.push(farm.build(&context, &NAMED)?);
        copies.push(baseline::copy(&data, &farm.path("copy"))?);
    }
    let hash = median_of(plan.few(), || baseline::read_and_hash(&data))?;
    let copy = copies.into_iter().collect::<crate::samples::Samples>().median();
    let row = Row::of("m7", "first", &first);
    let (by_hash, by_copy) = (times(&row, hash), times(&row, copy));
    sink(
        row.with("as long as reading and BLAKE3 of the files", by_hash)
            .with("as long as copying the files", by_copy),
    );

    let runs = unchanged(&farm, &context, "0", plan.many())?;
    let walk = median_of(plan.many(), || baseline::walk(&data))?;
    let row = Row::of("m7", "unchanged", &runs);
    let figure = times(&row, walk);
    sink(row.with("as long as asking for every file's status", figure).with("steps cached", cached(&runs)));

    let file = data.join(files::first());
    let change = |original: &[u8], index: usize| [original, format!("changed {index}").as_bytes()].concat();
    let runs = changed(&farm, &file, plan.many(), |farm| farm.build(&context, &NAMED), change)?;
    let row = Row::of("m7", "one file changed", &runs);
    let figure = times(&row, hash);
    sink(
        row.with("as long as reading and BLAKE3 of the files", figure)
            .with("of memory the daemon occupies, idle", idle(&farm)),
    );
    Ok(())
}
