//! What people do to the farm: who may, what comes of it, and that it is kept.

use farm_model::event::{Action, Deed, FarmEvent, encoding};
use farm_model::{BuildEvent, BuildId, StageId, StepId, WorkerId};
use farm_proto::client::{BuildRequest, Duty, Interest, Pinning, Reply, Request};
use farm_proto::image::PruneRequest;
use farm_transport::Role;

use super::script::{self, Client, Farm};
use super::{BUILD, succeeded};

const STEP: StepId = StepId { stage: StageId(0), index: 0 };

fn pin(image: &str, pinning: Pinning) -> Request {
    Request::Pin { image: image.to_owned(), pinning }
}

fn prune() -> Request {
    let request =
        PruneRequest { kinds: Vec::new(), unused_for: None, keep_bytes: None, all: true, dry_run: false };
    Request::Prune(request)
}

async fn one(client: &Client, request: Request) -> Reply {
    client.ask(request).await.next().await.unwrap()
}

async fn done(client: &Client, request: Request) {
    let reply = one(client, request).await;
    assert!(matches!(reply, Reply::Done), "{reply:?}");
}

async fn refused(client: &Client, request: Request) -> String {
    let Reply::Refused(refusal) = one(client, request).await else { panic!("it is done") };
    refusal.message
}

fn action(bytes: &[u8]) -> Action {
    let FarmEvent::Acted(action) = encoding::decode_farm(bytes).unwrap().event else { panic!("no action") };
    action
}

/// What is kept, the newest first.
async fn actions(client: &Client) -> Vec<Action> {
    let Reply::Actions(actions) = one(client, Request::Actions { limit: 0 }).await else { panic!("refused") };
    actions.iter().map(|bytes| action(bytes)).collect()
}

/// Builds an image with a name.
async fn build_named(client: &Client, build: BuildId, name: &str) {
    let names = vec![name.parse().unwrap()];
    let request = BuildRequest { names, ..script::request(build) };
    let events = client.ask(Request::Build(Box::new(request))).await.events().await;
    assert!(succeeded(&events), "{events:#?}");
}

#[tokio::test]
async fn a_viewer_does_nothing_to_the_farm_and_that_it_tried_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let viewer = farm.client_as(Role::Viewer).await;
    let worker = WorkerId("w".to_owned());
    let requests = [
        Request::Cancel { build: BUILD },
        Request::Move { build: BUILD, step: STEP },
        Request::Drain { worker: worker.clone(), duty: Duty::Drained },
        pin("a:1", Pinning::Pinned),
        prune(),
    ];
    for request in requests {
        assert!(refused(&viewer, request).await.contains("only look"));
    }
    let kept = actions(&viewer).await;
    let deeds: Vec<Deed> = kept.iter().rev().map(|action| action.deed.clone()).collect();
    let wanted = [
        Deed::Cancelled { build: BUILD },
        Deed::Moved { build: BUILD, step: STEP },
        Deed::Drained { worker },
        Deed::Pinned { image: "a:1".to_owned() },
        Deed::Pruned { bytes: 0 },
    ];
    assert_eq!(deeds, wanted);
    assert!(kept.iter().all(|action| action.by == "test" && action.refused.is_some()), "{kept:?}");
}

#[tokio::test]
async fn whoever_may_not_crowds_out_nobody_who_may() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let (viewer, client) = (farm.client_as(Role::Viewer).await, farm.client().await);
    for _ in 0..200 {
        refused(&viewer, Request::Cancel { build: BUILD }).await;
    }
    assert!(matches!(one(&client, prune()).await, Reply::Usage(_)));
    let kept = actions(&client).await;
    assert!(kept.len() < 100 && matches!(kept[0].deed, Deed::Pruned { .. }), "{}", kept.len());
}

#[tokio::test]
async fn what_is_done_is_told_to_those_who_watch_and_survives_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    client.hold();
    let own = client.build(BUILD).await;
    client.scan_was_asked().await;
    let mut watched = client.ask(Request::Watch).await;
    done(&client, Request::Cancel { build: BUILD }).await;
    own.events().await;
    let acted = loop {
        let Some(Reply::Farm(events)) = watched.next().await else { panic!("it goes on") };
        let mut events = events.iter().map(|event| encoding::decode_farm(event).unwrap().event);
        if let Some(FarmEvent::Acted(action)) = events.find(|event| matches!(event, FarmEvent::Acted(_))) {
            break action;
        }
    };
    assert_eq!((&acted.deed, &acted.refused), (&Deed::Cancelled { build: BUILD }, &None));
    drop((client, watched));
    let farm = farm.restart(root.path()).await;
    let client = farm.client().await;
    assert_eq!(actions(&client).await, std::slice::from_ref(&acted));
    refused(&client, Request::Cancel { build: BuildId([9; 8]) }).await;
    let kept = actions(&client).await;
    assert!(kept.len() == 2 && kept[0].refused.is_some() && kept[1] == acted, "{kept:?}");
    let mut watched = client.ask(Request::Watch).await;
    let Some(Reply::Farm(events)) = watched.next().await else { panic!("it begins") };
    let told = events
        .iter()
        .filter(|event| matches!(encoding::decode_farm(event).unwrap().event, FarmEvent::Acted(_)));
    assert_eq!(told.count(), 2);
}

#[tokio::test]
async fn a_pinned_image_stays_until_it_is_let_go() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    build_named(&client, BUILD, "shop:1").await;
    done(&client, pin("shop:1", Pinning::Pinned)).await;
    let remove = || Request::Remove { images: vec!["shop:1".to_owned()] };
    assert!(refused(&client, remove()).await.contains("`shop:1` is pinned"));
    assert!(matches!(one(&client, prune()).await, Reply::Usage(_)));
    let farm = farm.restart(root.path()).await;
    let client = farm.client().await;
    let Reply::Images(images) = one(&client, Request::Images).await else { panic!("refused") };
    assert!(images.len() == 1 && images[0].pinned, "{images:?}");
    refused(&client, pin("unknown:1", Pinning::Pinned)).await;
    done(&client, pin("shop:1", Pinning::Free)).await;
    assert!(matches!(one(&client, remove()).await, Reply::Removed(names) if names == ["shop:1"]));
    let deeds = actions(&client).await.into_iter().map(|action| (action.deed, action.refused.is_some()));
    let image = |name: &str| name.to_owned();
    let mut deeds: Vec<_> = deeds.rev().collect();
    assert!(matches!(deeds.remove(1), (Deed::Pruned { .. }, false)));
    let wanted = [
        (Deed::Pinned { image: image("shop:1") }, false),
        (Deed::Pinned { image: image("unknown:1") }, true),
        (Deed::Unpinned { image: image("shop:1") }, false),
    ];
    assert_eq!(deeds, wanted);
}

#[tokio::test]
async fn what_is_not_there_is_neither_moved_nor_drained() {
    let root = tempfile::tempdir().unwrap();
    let farm = Farm::start(root.path());
    let client = farm.client().await;
    assert!(refused(&client, Request::Move { build: BUILD, step: STEP }).await.contains("build"));
    client.hold();
    let mut own = client.build(BUILD).await;
    client.scan_was_asked().await;
    assert!(refused(&client, Request::Move { build: BUILD, step: STEP }).await.contains("does not run"));
    let worker = WorkerId("w".to_owned());
    assert!(refused(&client, Request::Drain { worker, duty: Duty::Drained }).await.contains("`w`"));
    client.release();
    let attached = client.ask(Request::Attach { build: BUILD, from: 0, interest: Interest::Watch }).await;
    assert!(succeeded(&attached.events().await));
    super::until(&mut own, |event| matches!(event, BuildEvent::Ended(_))).await;
}
