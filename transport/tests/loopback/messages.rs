use farm_model::LeaseId;
use farm_proto::worker::Opening;
use farm_proto::{CoordinatorMessage, WorkerMessage};
use farm_transport::{Delivery, Error, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::pair::{SOON, pair};

const LEASE: LeaseId = LeaseId { epoch: 3, counter: 4 };

#[tokio::test]
async fn both_sides_know_each_other() {
    let pair = pair().await;
    assert_eq!(pair.coordinator.peer().to_string(), "worker `w1`");
    assert_eq!(pair.worker.peer().role, Role::Coordinator);
    assert_eq!(pair.worker.peer().scope.as_str(), "main");
    assert_eq!(pair.worker.remote_address(), pair.listener.local_address().unwrap());
}

#[tokio::test]
async fn messages_travel_both_ways_until_each_side_ends() {
    let pair = pair().await;
    let mut ours = pair.worker.open().await.unwrap();
    ours.send(&Opening::Session).await.unwrap();
    let mut theirs = pair.coordinator.accept().await.unwrap().unwrap();
    assert_eq!(theirs.receive().await.unwrap(), Some(Opening::Session));

    theirs.send(&CoordinatorMessage::Cancel { lease: LEASE }).await.unwrap();
    theirs.send(&CoordinatorMessage::Drain).await.unwrap();
    theirs.finish().unwrap();
    let cancel = ours.receive::<CoordinatorMessage>().await.unwrap();
    assert!(matches!(cancel, Some(CoordinatorMessage::Cancel { lease: LEASE })));
    let drain = ours.receive::<CoordinatorMessage>().await.unwrap();
    assert!(matches!(drain, Some(CoordinatorMessage::Drain)));
    assert!(ours.receive::<CoordinatorMessage>().await.unwrap().is_none());

    // The other half is still open.
    ours.send(&WorkerMessage::Heartbeat { leases: vec![LEASE; 10_000] }).await.unwrap();
    let stopped = ours.halves().0.stopped();
    ours.finish().unwrap();
    let beat = theirs.receive::<WorkerMessage>().await.unwrap();
    assert!(matches!(beat, Some(WorkerMessage::Heartbeat { leases }) if leases.len() == 10_000));
    assert!(theirs.receive::<WorkerMessage>().await.unwrap().is_none());
    assert_eq!(timeout(SOON, stopped).await.unwrap().unwrap(), Delivery::Complete);
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let pair = pair().await;
    let message = WorkerMessage::Heartbeat { leases: vec![LEASE; 100] };
    let mut ours = pair.worker.open().await.unwrap();
    let frame = {
        let body = farm_proto::frame::Message::encode(&message).unwrap();
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend_from_slice(&body);
        frame
    };
    let send = async {
        for byte in &frame {
            ours.halves().0.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        ours.finish().unwrap();
    };
    let receive = async {
        let mut theirs = pair.coordinator.accept().await.unwrap().unwrap();
        loop {
            // Biased to the branch that gives the wait up as often as can be.
            tokio::select! {
                biased;
                got = theirs.receive::<WorkerMessage>() => return got.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let ((), got) = tokio::join!(send, receive);
    assert!(matches!(got, Some(WorkerMessage::Heartbeat { leases }) if leases.len() == 100));
}

#[tokio::test]
async fn a_send_that_is_given_up_half_way_is_never_taken_for_whole() {
    let pair = pair().await;
    let (mut ours, mut theirs) = pair.stream(&[]).await;
    // More than the windows hold, so it cannot be whole while nobody reads.
    let large = WorkerMessage::Warned { lease: LEASE, message: "x".repeat(40 << 20) };
    tokio::select! {
        sent = ours.send(&large) => panic!("{sent:?}"),
        () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {}
    }
    assert!(matches!(ours.send(&large).await, Err(Error::Torn)));
    assert!(matches!(ours.finish(), Err(Error::Torn)));
    assert!(matches!(theirs.receive::<WorkerMessage>().await, Err(Error::Reset { .. })));
}

#[tokio::test]
async fn raw_bytes_are_copied_both_ways() {
    let pair = pair().await;
    let (mut ours, theirs) = pair.stream(b"ping").await;
    ours.finish().unwrap();
    let (mut sender, mut receiver) = theirs.split();
    let mut heard = Vec::new();
    receiver.read_to_end(&mut heard).await.unwrap();
    sender.write_all(&heard).await.unwrap();
    sender.shutdown().await.unwrap();
    let mut back = String::new();
    ours.halves().1.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "ping");
}

#[tokio::test]
async fn whoever_takes_no_more_is_noticed() {
    let pair = pair().await;
    let (mut ours, theirs) = pair.stream(b"x").await;
    let stopped = ours.halves().0.stopped();
    let (_sender, receiver) = theirs.split();
    drop(receiver);
    assert_eq!(timeout(SOON, stopped).await.unwrap().unwrap(), Delivery::Stopped);
    assert!(matches!(ours.send(&Opening::Session).await, Err(Error::Stopped { .. })));
}

#[tokio::test]
async fn a_thousand_streams_are_open_at_once() {
    let pair = pair().await;
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut ours = pair.worker.open().await.unwrap();
        ours.send(&Opening::Session).await.unwrap();
        open.push(ours);
    }
    for _ in 0..1000 {
        let mut theirs = pair.coordinator.accept().await.unwrap().unwrap();
        assert_eq!(theirs.receive().await.unwrap(), Some(Opening::Session));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_blocks_reads_and_writes_alike() {
    let pair = pair().await;
    let (ours, theirs) = pair.stream(&[]).await;
    let handle = tokio::runtime::Handle::current();
    let there = handle.clone();
    let (sender, _rest) = ours.split();
    let writing = tokio::task::spawn_blocking(move || {
        let mut sender = sender.into_blocking(handle);
        sender.send(&Opening::Session).unwrap();
        std::io::Write::write_all(&mut sender, &vec![7; 100_000]).unwrap();
        sender.item(b"abc").unwrap();
        sender.finish().unwrap();
    });
    let reading = tokio::task::spawn_blocking(move || {
        let mut receiver = theirs.split().1.into_blocking(there);
        assert_eq!(receiver.receive().unwrap(), Some(Opening::Session));
        let mut raw = vec![0; 100_000];
        std::io::Read::read_exact(&mut receiver, &mut raw).unwrap();
        assert!(raw.iter().all(|byte| *byte == 7));
        assert_eq!(receiver.item(10).unwrap(), Some(b"abc".to_vec()));
        assert_eq!(receiver.receive::<Opening>().unwrap(), None);
    });
    writing.await.unwrap();
    reading.await.unwrap();
}
