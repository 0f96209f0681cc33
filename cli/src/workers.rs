//! `farm workers` and `farm drain`.

use farm_model::WorkerId;
use farm_model::event::MachineLoad;
use farm_proto::client::{Duty, Reply, Request, WorkerStatus};
use serde_json::json;

use crate::builds::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::progress::size;
use crate::show;

const NOTES: &str = "\
Columns:
  SLOTS  steps that keep a processor busy and may run at once
  CPU    processors in use on the machine, of those that it has
  DISK   what is in use of the disk on which the worker's store is

Examples:
  farm workers --json | jq -r 'select(.draining) | .name'";

const DRAIN_NOTES: &str = "\
A worker that is drained finishes what it runs and is given nothing more, also after it was started
again, until `farm drain --undo`.";

/// Arguments of `farm workers`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Options,
}

/// Arguments of `farm drain`.
#[derive(Debug, clap::Args)]
#[command(after_help = DRAIN_NOTES)]
pub(crate) struct DrainArguments {
    /// Name of the worker
    #[arg(value_name = "WORKER")]
    worker: String,

    /// Give it work again
    #[arg(long)]
    undo: bool,

    #[command(flatten)]
    connection: Options,
}

/// Shows the workers.
pub(crate) fn list(arguments: &Arguments) -> Result<(), Failure> {
    let workers = crate::block_on(async {
        let (client, _) = connection::connect_to_watch(&arguments.connection).await?;
        let Reply::Status(status) = ask(&client, Request::Status).await? else {
            return Err(Failure::unexpected());
        };
        Ok(status.workers)
    })?;
    if arguments.json {
        return show::text(&show::lines(workers.iter().map(as_json)));
    }
    let heading = ["WORKER", "PLATFORM", "SLOTS", "RUNNING", "STATE", "CPU", "MEMORY", "DISK", "LABELS"]
        .map(str::to_owned);
    let rows = std::iter::once(heading.to_vec()).chain(workers.iter().map(row));
    show::text(&show::table(rows.collect()))
}

/// Drains a worker, or has it work again.
pub(crate) fn drain(arguments: &DrainArguments) -> Result<(), Failure> {
    crate::block_on(async {
        let client = connection::connect(&arguments.connection).await?;
        let duty = if arguments.undo { Duty::Open } else { Duty::Drained };
        let worker = WorkerId(arguments.worker.clone());
        let Reply::Done = ask(&client, Request::Drain { worker, duty }).await? else {
            return Err(Failure::unexpected());
        };
        Ok(())
    })
}

fn state(worker: &WorkerStatus) -> &'static str {
    if worker.draining { "draining" } else { "open" }
}

fn row(worker: &WorkerStatus) -> Vec<String> {
    let load = |text: fn(&MachineLoad) -> String| worker.load.as_ref().map(text).unwrap_or_default();
    vec![
        worker.worker.clone(),
        worker.platform.to_string(),
        worker.slots.to_string(),
        worker.running.to_string(),
        state(worker).to_owned(),
        load(|load| format!("{}.{}/{}", load.cpu / 1000, load.cpu % 1000 / 100, load.processors)),
        load(|load| format!("{}/{}", size(load.memory), size(load.memory_total))),
        load(|load| format!("{}/{}", size(load.disk), size(load.disk_total))),
        worker.labels.join(","),
    ]
}

fn as_json(worker: &WorkerStatus) -> serde_json::Value {
    let load = worker.load.map(|load| {
        json!({
            "cpu_thousandths": load.cpu, "processors": load.processors, "memory": load.memory,
            "memory_total": load.memory_total, "received_per_second": load.received,
            "sent_per_second": load.sent, "disk": load.disk, "disk_total": load.disk_total,
        })
    });
    json!({
        "name": worker.worker, "platform": worker.platform.to_string(), "slots": worker.slots,
        "most": worker.most, "running": worker.running, "state": state(worker),
        "draining": worker.draining, "labels": worker.labels, "load": load,
    })
}
