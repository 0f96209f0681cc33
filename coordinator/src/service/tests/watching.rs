//! The farm as those who watch it see it.

use std::collections::BTreeMap;
use std::time::Duration;

use farm_model::event::{Ending, FarmEvent, PastOutcome, encoding};
use farm_model::{BuildEvent, BuildId};
use farm_proto::client::{Reply, Request};
use farm_transport::Role;

use super::script::{Client, Farm, Replies};
use super::{BUILD, succeeded};

/// A viewer and what it has heard.
struct Viewer {
    replies: Replies,
    waiting: std::collections::VecDeque<FarmEvent>,
    time: i64,
    _client: Client,
}

impl Viewer {
    async fn of(farm: &Farm) -> Self {
        let client = farm.client_as(Role::Viewer).await;
        let replies = client.ask(Request::Watch).await;
        Self { replies, waiting: std::collections::VecDeque::new(), time: i64::MIN, _client: client }
    }

    async fn next(&mut self) -> FarmEvent {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            let Some(Reply::Farm(events)) = self.replies.next().await else { panic!("it goes on") };
            for event in events {
                let recorded = encoding::decode_farm(&event).unwrap();
                assert!(recorded.time >= self.time, "time runs backwards");
                self.time = recorded.time;
                self.waiting.push_back(recorded.event);
            }
        }
    }

    /// Everything up to the first event for which something is true.
    async fn until(&mut self, wanted: impl Fn(&FarmEvent) -> bool) -> Vec<FarmEvent> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.next().await);
            if heard.last().is_some_and(&wanted) {
                return heard;
            }
        }
    }

    async fn caught_up(&mut self) -> Vec<FarmEvent> {
        self.until(|event| *event == FarmEvent::CaughtUp).await
    }

    async fn ended(&mut self, build: BuildId) -> Vec<FarmEvent> {
        self.until(|event| is_end(event, build)).await
    }
}

fn is_end(event: &FarmEvent, wanted: BuildId) -> bool {
    matches!(event, FarmEvent::Build { build, recorded, .. }
        if *build == wanted && matches!(recorded.event, BuildEvent::Ended(_)))
}

/// The events of one build with their positions.
fn events_of(heard: &[FarmEvent], wanted: BuildId) -> Vec<(u64, BuildEvent)> {
    let of = |event: &FarmEvent| {
        let FarmEvent::Build { build, sequence, recorded } = event else { return None };
        (*build == wanted).then(|| (*sequence, recorded.event.clone()))
    };
    heard.iter().filter_map(of).collect()
}

#[tokio::test]
async fn a_viewer_hears_of_a_build_what_its_client_hears() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let mut early = Viewer::of(&farm).await;
    let first = early.caught_up().await;
    assert!(matches!(&first[0], FarmEvent::Began { version, .. } if version == "test"), "{first:?}");
    let client = farm.client().await;
    client.hold();
    let own = client.build(BUILD).await;
    client.scan_was_asked().await;
    let mut late = Viewer::of(&farm).await;
    let begun = late.caught_up().await;
    assert!(matches!(events_of(&begun, BUILD).first(), Some((0, BuildEvent::Requested(_)))), "{begun:?}");
    client.release();
    let own = own.events().await;
    assert!(succeeded(&own));
    assert_eq!(events_of(&early.ended(BUILD).await, BUILD), own);
    let rest = [begun, late.ended(BUILD).await].concat();
    assert_eq!(events_of(&rest, BUILD), own);
}

#[tokio::test]
async fn who_comes_later_hears_of_past_builds_in_short() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    for number in 1..4 {
        assert!(succeeded(&client.build(BuildId([number; 8])).await.events().await));
    }
    let mut viewer = Viewer::of(&farm).await;
    let heard = viewer.caught_up().await;
    let past = |event: &FarmEvent| {
        let FarmEvent::Past(past) = event else { return None };
        assert_eq!((past.outcome, &*past.client), (PastOutcome::Succeeded, "test"));
        Some(past.build.0[0])
    };
    assert_eq!(heard.iter().filter_map(past).collect::<Vec<_>>(), [1, 2, 3], "the oldest first");
    assert!(!heard.iter().any(|event| matches!(event, FarmEvent::Build { .. })), "{heard:?}");
    viewer.until(|event| matches!(event, FarmEvent::Store(store) if !store.rows.is_empty())).await;
}

#[tokio::test]
async fn a_build_that_is_taken_up_again_is_told_of_from_its_first_event() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let mut own = client.build(BUILD).await;
    super::until(&mut own, |event| matches!(event, BuildEvent::Planned { .. })).await;
    let farm = farm.restart(root.path()).await;
    let mut viewer = Viewer::of(&farm).await;
    let heard = viewer.caught_up().await;
    let interrupted = |event: &FarmEvent| matches!(event, FarmEvent::Past(past) if past.outcome == PastOutcome::Interrupted);
    assert!(heard.iter().any(interrupted), "{heard:?}");
    let client = farm.client().await;
    let own = client.build(BUILD).await.events().await;
    let heard = events_of(&viewer.ended(BUILD).await, BUILD);
    assert_eq!(heard, own);
    assert!(heard.iter().any(|(_, event)| matches!(event, BuildEvent::Resumed { .. })));
}

#[tokio::test]
async fn a_viewer_that_stops_reading_delays_nobody_and_misses_nothing() {
    const BUILDS: u8 = 40;
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let mut asleep = Viewer::of(&farm).await;
    let client = farm.client().await;
    for number in 1..=BUILDS {
        let building = async { client.build(BuildId([number; 8])).await.events().await };
        let events = tokio::time::timeout(Duration::from_secs(20), building).await.unwrap();
        assert!(succeeded(&events));
    }
    let mut ended: BTreeMap<BuildId, Ending> = BTreeMap::new();
    while ended.len() < usize::from(BUILDS) {
        if let FarmEvent::Build { build, recorded, .. } = asleep.next().await
            && let BuildEvent::Ended(ending) = recorded.event
        {
            assert!(ended.insert(build, ending).is_none(), "{build} ended twice");
        }
    }
    assert!(ended.values().all(|ending| matches!(ending, Ending::Succeeded { .. })));
}

#[tokio::test]
async fn whoever_watches_does_not_keep_the_coordinator_from_stopping() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let mut viewer = Viewer::of(&farm).await;
    viewer.caught_up().await;
    assert_eq!(farm.coordinator.idle_for(), None, "somebody looks at it");
    let client = farm.client().await;
    let mut stopped = client.ask(Request::Stop(farm_proto::client::Stop::WhenIdle)).await;
    assert!(matches!(stopped.next().await, Some(Reply::Done)));
    client.connection.closed().await;
}
