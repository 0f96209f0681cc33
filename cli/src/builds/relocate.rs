//! `farm builds move`: a step that runs is done by another worker.

use std::collections::{BTreeMap, BTreeSet};

use farm_client::Client;
use farm_model::{BuildEvent, BuildId, StepId};
use farm_proto::client::{Reply, Request};

use super::ask;
use crate::connection::{self, Options};
use crate::failure::Failure;

const NOTES: &str = "\
STEP is the name of a stage, or a part of the step as `farm builds show` shows it, and has to mean one step
that runs. The step starts over on another worker that can do it, or on the same when there is none.

Examples:
  farm builds move 3f2a 'RUN make'";

/// Arguments of `farm builds move`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(super) struct Arguments {
    /// Id of the build or its first digits
    #[arg(value_name = "BUILD")]
    build: String,

    /// Which of its steps [default: the only one that runs]
    #[arg(value_name = "STEP")]
    step: Option<String>,

    #[command(flatten)]
    connection: Options,
}

pub(super) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = connection::connect(&arguments.connection).await?;
    let build = super::named(&client, &arguments.build).await?.ok_or_else(|| {
        Failure::usage(format!("there is no build `{}`", arguments.build))
            .with_hint(Some("`farm builds list` shows what there is"))
    })?;
    let running = running(&client, build).await?;
    let step = choose(&running, arguments.step.as_deref())?;
    let Reply::Done = ask(&client, Request::Move { build, step }).await? else {
        return Err(Failure::unexpected());
    };
    Ok(())
}

/// A step that runs on a worker.
#[derive(Clone, Debug)]
struct Running {
    step: StepId,
    stage: String,
    title: String,
}

async fn running(client: &Client, build: BuildId) -> Result<Vec<Running>, Failure> {
    let (mut steps, mut running) = (BTreeMap::new(), BTreeSet::new());
    super::replay(client, build, |recorded| match recorded.event {
        BuildEvent::Planned { steps: planned } => {
            let of = |step: farm_model::event::PlannedStep| {
                let name = step.name.lines().next().unwrap_or_default();
                let title = format!("{}: {name}", step.stage);
                (step.id, Running { step: step.id, stage: step.stage, title })
            };
            steps = planned.into_iter().map(of).collect();
            running.clear();
        }
        BuildEvent::Started { step, worker: Some(_) } => {
            running.insert(step);
        }
        BuildEvent::Retried { step, .. }
        | BuildEvent::Cached { step, .. }
        | BuildEvent::Finished { step, .. }
        | BuildEvent::Failed { step, .. } => {
            running.remove(&step);
        }
        BuildEvent::Ended(_) => running.clear(),
        BuildEvent::Requested(_)
        | BuildEvent::Resumed { .. }
        | BuildEvent::ContextScanned { .. }
        | BuildEvent::ContextTaken { .. }
        | BuildEvent::ImageResolved { .. }
        | BuildEvent::LayerPulled { .. }
        | BuildEvent::Missed { .. }
        | BuildEvent::Queued { .. }
        | BuildEvent::Expected { .. }
        | BuildEvent::Fetched { .. }
        | BuildEvent::Shared { .. }
        | BuildEvent::Started { worker: None, .. }
        | BuildEvent::Logged { .. }
        | BuildEvent::Warned { .. }
        | BuildEvent::Completed { .. }
        | BuildEvent::Exported { .. } => {}
    })
    .await?;
    Ok(running.into_iter().filter_map(|step| steps.get(&step).cloned()).collect())
}

/// The one step that is meant.
fn choose(running: &[Running], wanted: Option<&str>) -> Result<StepId, Failure> {
    let meant: Vec<&Running> = match wanted {
        None => running.iter().collect(),
        Some(text) => {
            let exact: Vec<_> =
                running.iter().filter(|step| step.stage == text || step.title == text).collect();
            let part = || running.iter().filter(|step| step.title.contains(text)).collect();
            if exact.is_empty() { part() } else { exact }
        }
    };
    let all = || running.iter().map(|step| format!("`{}`", step.title)).collect::<Vec<_>>().join(", ");
    match (&meant[..], running) {
        ([step], _) => Ok(step.step),
        (_, []) => Err(Failure::usage("no step of the build runs on a worker")),
        ([], _) => Err(Failure::usage("no such step runs").with_hint(Some(format!("these do: {}", all())))),
        _ => Err(Failure::usage("several steps run").with_hint(Some(format!("name one of {}", all())))),
    }
}

#[cfg(test)]
mod tests {
    use farm_model::StageId;

    use super::*;

    #[test]
    fn a_step_is_meant_by_its_stage_or_a_part_of_it() {
        let step = |stage: u32, name: &str| Running {
            step: StepId { stage: StageId(stage), index: 0 },
            stage: format!("s{stage}"),
            title: format!("s{stage}: {name}"),
        };
        let steps = [step(1, "RUN make"), step(11, "RUN make install")];
        let stage = |wanted| choose(&steps, wanted).map(|step| step.stage.0).ok();
        assert_eq!((stage(Some("s1")), stage(Some("install"))), (Some(1), Some(11)));
        assert_eq!((stage(Some("make")), stage(None), stage(Some("x"))), (None, None, None));
        assert_eq!(choose(&steps[..1], None).map(|step| step.stage.0).ok(), Some(1));
        assert!(choose(&[], None).is_err());
    }
}
