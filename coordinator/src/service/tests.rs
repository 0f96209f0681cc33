//! The coordinator as clients see it, over real connections.

mod acting;
mod many;
mod script;
mod watching;

use farm_model::event::Ending;
use farm_model::{BuildEvent, BuildId};
use farm_proto::client::{BuildState, Interest, Reply, Request};
use farm_proto::image::PruneRequest;
use farm_transport::Role;

use self::script::{Farm, Replies};

const BUILD: BuildId = BuildId([1; 8]);

fn attach(from: u64, interest: Interest) -> Request {
    Request::Attach { build: BUILD, from, interest }
}

fn ending(events: &[(u64, BuildEvent)]) -> Ending {
    match events.last() {
        Some((_, BuildEvent::Ended(ending))) => ending.clone(),
        other => panic!("{other:?}"),
    }
}

fn succeeded(events: &[(u64, BuildEvent)]) -> bool {
    matches!(ending(events), Ending::Succeeded { image: Some(_) })
}

fn are_in_order(events: &[(u64, BuildEvent)]) -> bool {
    events.iter().zip(0..).all(|((sequence, _), wanted)| *sequence == wanted)
}

async fn state(client: &script::Client) -> BuildState {
    match client.ask(Request::Builds { limit: 0 }).await.next().await {
        Some(Reply::Builds(builds)) => builds.first().unwrap().state,
        other => panic!("{other:?}"),
    }
}

/// Reads until something is true of an event.
async fn until(replies: &mut Replies, wanted: impl Fn(&BuildEvent) -> bool) {
    while let Some((_, event)) = replies.event().await {
        if wanted(&event) {
            return;
        }
    }
    panic!("it never came");
}

#[tokio::test]
async fn a_build_takes_its_files_from_the_client_and_gives_the_result_back() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    let events = client.build(BUILD).await.events().await;
    assert!(are_in_order(&events) && succeeded(&events), "{events:#?}");
    let exported = |event: &(u64, BuildEvent)| matches!(&event.1, BuildEvent::Exported { output, bytes, .. } if output == "archive" && *bytes > 1024);
    assert!(events.iter().any(exported), "{events:#?}");
    let again = client.build(BuildId([2; 8])).await.events().await;
    assert!(again.iter().any(|(_, event)| matches!(event, BuildEvent::Cached { .. })), "{again:#?}");
}

#[tokio::test]
async fn whoever_attaches_while_it_runs_sees_every_event_once() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let own = client.build(BUILD).await;
    client.scan_was_asked().await;
    let watcher = farm.client_as(Role::Viewer).await;
    let watched = watcher.ask(attach(0, Interest::Watch)).await;
    let late = watcher.ask(attach(1, Interest::Watch)).await;
    client.release();
    let (own, watched, late) = tokio::join!(own.events(), watched.events(), late.events());
    assert!(are_in_order(&own) && succeeded(&own), "{own:#?}");
    assert_eq!(own, watched);
    assert_eq!(own[1..], late[..]);
}

#[tokio::test]
async fn a_log_survives_its_coordinator() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    let events = client.build(BUILD).await.events().await;
    drop(client);
    let farm = farm.restart(root.path()).await;
    let client = farm.client().await;
    assert_eq!(client.ask(attach(0, Interest::Watch)).await.events().await, events);
    assert_eq!(client.build(BUILD).await.events().await, events, "what has ended is not done again");
    assert_eq!(state(&client).await, BuildState::Succeeded);
    let unknown = Request::Attach { build: BuildId([9; 8]), from: 0, interest: Interest::Watch };
    assert!(matches!(client.ask(unknown).await.next().await, Some(Reply::Refused(_))));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_build() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let mut own = client.build(BUILD).await;
    client.scan_was_asked().await;
    own.leave();
    assert_eq!(ending(&own.events().await), Ending::Cancelled);
    assert_eq!(state(&client).await, BuildState::Cancelled);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_nothing_that_another_wants() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let (client, other) = (farm.client().await, farm.client().await);
    client.hold();
    let mut own = client.build(BUILD).await;
    client.scan_was_asked().await;
    let mut wanted = other.ask(attach(0, Interest::Want)).await;
    // Once it has heard something it is counted.
    wanted.event().await.unwrap();
    own.leave();
    client.release();
    assert!(succeeded(&wanted.events().await));
}

#[tokio::test]
async fn a_lost_client_comes_back_and_is_asked_again() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let _own = client.build(BUILD).await;
    client.scan_was_asked().await;
    client.connection.close("the network is gone");
    let client = farm.client().await;
    let events = client.build(BUILD).await.events().await;
    assert!(are_in_order(&events) && succeeded(&events), "{events:#?}");
    assert!(!events.iter().any(|(_, event)| matches!(event, BuildEvent::Resumed { .. })), "it went on");
}

#[tokio::test]
async fn a_build_whose_coordinator_was_lost_is_taken_up_in_the_same_log() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let mut own = client.build(BUILD).await;
    until(&mut own, |event| matches!(event, BuildEvent::Planned { .. })).await;
    let farm = farm.restart(root.path()).await;
    let client = farm.client().await;
    assert_eq!(state(&client).await, BuildState::Interrupted);
    let events = client.build(BUILD).await.events().await;
    assert!(are_in_order(&events) && succeeded(&events), "{events:#?}");
    assert!(matches!(events[0].1, BuildEvent::Requested(_)));
    assert!(events.iter().any(|(_, event)| matches!(event, BuildEvent::Resumed { .. })));
    assert_eq!(state(&client).await, BuildState::Succeeded);
}

#[tokio::test]
async fn cancelling_ends_a_build_for_everybody() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let own = client.build(BUILD).await;
    client.scan_was_asked().await;
    assert!(matches!(client.ask(Request::Cancel { build: BUILD }).await.next().await, Some(Reply::Done)));
    assert_eq!(ending(&own.events().await), Ending::Cancelled);
}

#[tokio::test]
async fn a_viewer_may_only_look() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let viewer = farm.client_as(Role::Viewer).await;
    assert!(matches!(viewer.build(BUILD).await.next().await, Some(Reply::Refused(_))));
    assert!(matches!(viewer.ask(attach(0, Interest::Want)).await.next().await, Some(Reply::Refused(_))));
    match viewer.ask(Request::Status).await.next().await {
        Some(Reply::Status(status)) => assert_eq!((status.running_builds, &*status.version), (0, "test")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_coordinator_that_is_to_stop_takes_no_builds_and_ends_when_it_is_idle() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let own = client.build(BUILD).await;
    client.scan_was_asked().await;
    let stopping = Request::Stop(farm_proto::client::Stop::WhenIdle);
    let mut stopped = client.ask(stopping).await;
    // The gate is closed some time after the request was sent.
    loop {
        let mut refused = client.build(BuildId([2; 8])).await;
        match refused.next().await {
            Some(Reply::Refused(_)) => break,
            _ => refused.leave(),
        }
    }
    client.release();
    assert!(succeeded(&own.events().await));
    assert!(matches!(stopped.next().await, Some(Reply::Done)));
    client.connection.closed().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    let mut stream = client.connection.open().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(stream.halves().0, &[3, 0, 0, 0, 1, 2, 3]).await.unwrap();
    stream.finish().unwrap();
    assert!(matches!(stream.receive().await, Ok(Some(Reply::Refused(_)))));
    assert!(matches!(client.ask(Request::Status).await.next().await, Some(Reply::Status(_))));
}

#[tokio::test]
async fn a_prune_takes_nothing_from_a_build_that_runs() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    assert!(succeeded(&client.build(BUILD).await.events().await));
    let prune = || {
        let kinds = Vec::new();
        let request = PruneRequest { kinds, unused_for: None, keep_bytes: None, all: true, dry_run: false };
        client.ask(Request::Prune(request))
    };
    let mut pruning = true;
    let building = async {
        for number in 2..20 {
            let events = client.build(BuildId([number; 8])).await.events().await;
            assert!(succeeded(&events), "{events:#?}");
        }
    };
    tokio::pin!(building);
    while pruning {
        tokio::select! {
            () = &mut building => pruning = false,
            mut pruned = prune() => assert!(matches!(pruned.next().await, Some(Reply::Usage(_)))),
        }
    }
}
