//! What watching costs on a farm with many builds. The figures are printed: `cargo test … many -- --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farm_model::event::{Ending, FarmEvent, PlannedStep, encoding};
use farm_model::{BuildEvent, BuildId, StageId, StepId, Usage, WorkerId};
use farm_proto::client::{Reply, Request};
use farm_transport::Role;
use rustix::time::{ClockId, clock_gettime};

use super::script::{Client, Farm, Replies, request};
use crate::Paths;
use crate::builds::{Admission, Running};

const BUILDS: u64 = 400;
const STEPS: u32 = 25;
/// Much more than it takes here, so that a busy machine fails no test; far less than what a scan of all builds a wake costs.
const MOST_PER_EVENT: Duration = Duration::from_micros(150);

fn step(index: u32) -> StepId {
    StepId { stage: StageId(0), index }
}

fn planned() -> BuildEvent {
    let one = |index| PlannedStep {
        id: step(index),
        stage: "build".to_owned(),
        name: format!("RUN make part-{index}"),
        lines: Some((index, index)),
        needs: Vec::new(),
    };
    BuildEvent::Planned { steps: (0..STEPS).map(one).collect() }
}

fn life_of(step: StepId, index: u32) -> [BuildEvent; 4] {
    let worker = Some(WorkerId(format!("worker-{}", index % 10)));
    [
        BuildEvent::Expected { step, micros: 5 },
        BuildEvent::Queued { step },
        BuildEvent::Started { step, worker },
        BuildEvent::Finished { step, micros: 7, usage: Usage::default(), bytes: 9 },
    ]
}

/// What all threads of this process have used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// Lets every build live through its steps, one step of each after the other, and end. Says how long it took.
async fn live(builds: &[Arc<Running>]) -> Duration {
    let start = Instant::now();
    for running in builds {
        running.log.append(planned()).await;
    }
    for index in 0..STEPS {
        for running in builds {
            for event in life_of(step(index), index) {
                running.log.append(event).await;
            }
        }
        // So that those who watch have their turn.
        tokio::task::yield_now().await;
    }
    for running in builds {
        running.log.append(BuildEvent::Ended(Ending::Cancelled)).await;
    }
    start.elapsed()
}

/// A viewer that has heard everything that was true when it came.
async fn caught_up(viewer: &Client) -> Replies {
    let mut replies = viewer.ask(Request::Watch).await;
    loop {
        let Some(Reply::Farm(batch)) = replies.next().await else { panic!("it goes on") };
        let is_last = |bytes: &Vec<u8>| encoding::decode_farm(bytes).unwrap().event == FarmEvent::CaughtUp;
        if batch.last().is_some_and(is_last) {
            return replies;
        }
    }
}

async fn begin(farm: &Farm, from: u64) -> Vec<Arc<Running>> {
    let client = farm.client().await;
    let mut builds = Vec::new();
    for number in from..from + BUILDS {
        let request = request(BuildId(number.to_be_bytes()));
        let admission = farm.inside().builds.admit(&request, &client.connection, Paths::Refused).await;
        let Ok(Admission::New(running)) = admission else { panic!("{admission:?}") };
        builds.push(running);
    }
    builds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_builds_are_watched_at_little_cost_and_by_sleepers_at_none() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let alone = live(&begin(&farm, 1).await).await;

    let builds = begin(&farm, 1 + BUILDS).await;
    let viewer = farm.client_as(Role::Viewer).await;
    let mut asleep = Vec::new();
    for _ in 0..20 {
        asleep.push(caught_up(&viewer).await);
    }
    let with_sleepers = live(&builds).await;
    println!("{BUILDS} builds: {alone:?} unwatched, {with_sleepers:?} beside {} sleepers", asleep.len());
    // The same work, whatever else the machine does.
    assert!(with_sleepers < alone * 20 + Duration::from_secs(2), "{with_sleepers:?} instead of {alone:?}");
    drop(asleep);

    let builds = begin(&farm, 1 + 2 * BUILDS).await;
    let mut awake = caught_up(&viewer).await;
    let before = processor_time();
    let watching = async {
        let (mut ended, mut events) = (0, 0_u32);
        while ended < BUILDS {
            let Some(Reply::Farm(batch)) = awake.next().await else { panic!("it goes on") };
            for bytes in &batch {
                let recorded = encoding::decode_farm(bytes).unwrap();
                if let FarmEvent::Build { recorded, .. } = recorded.event {
                    events += 1;
                    ended += u64::from(matches!(recorded.event, BuildEvent::Ended(_)));
                }
            }
        }
        events
    };
    let (_, events) = tokio::join!(live(&builds), watching);
    let each = processor_time().saturating_sub(before) / events;
    println!(
        "{events} events from log to viewer, {each:?} of a processor each, appending and reading included"
    );
    assert!(events >= u32::try_from(BUILDS).unwrap() * (STEPS * 4 + 1), "{events}");
    assert!(each < MOST_PER_EVENT, "{each:?}");
}
