//! Watching a farm whose coordinator is made of a script.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::{Ipv4Addr, SocketAddr};

use farm_client::{Client, Error, Heard, watch};
use farm_model::Scope;
use farm_model::event::{Blame, FarmEvent, FarmRecorded, encoding};
use farm_proto::client::{Refusal, Reply, Request};
use farm_transport::{Authority, Connection, Credentials, Endpoint, Identity, Role, Stream};
use tokio::sync::mpsc;

fn farm() -> (Endpoint, SocketAddr, Credentials) {
    let authority = Authority::new().unwrap();
    let issue = |role, name| authority.issue(&Identity::new(role, name, Scope::main()).unwrap()).unwrap();
    let endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0).into(), &issue(Role::Coordinator, "c")).unwrap();
    let address = endpoint.local_address().unwrap();
    (endpoint, address, issue(Role::Viewer, "me"))
}

fn began(time: i64) -> FarmRecorded {
    FarmRecorded { time, event: FarmEvent::Began { farm: "f".to_owned(), version: "1".to_owned() } }
}

async fn accept(endpoint: &Endpoint) -> (Connection, Stream) {
    let connection = endpoint.accept().await.unwrap().finish().await.unwrap();
    let mut stream = connection.accept().await.unwrap().unwrap();
    assert_eq!(stream.receive::<Request>().await.unwrap(), Some(Request::Watch));
    (connection, stream)
}

#[tokio::test]
async fn a_coordinator_that_is_lost_is_found_again_and_both_are_said() {
    let (endpoint, address, credentials) = farm();
    let (sender, mut heard) = mpsc::channel(4);
    let coordinator = async {
        let (connection, mut stream) = accept(&endpoint).await;
        // What this version does not know is passed over.
        let unknown = vec![encoding::VERSION, 0, 0, 0, 0, 0, 0, 0, 1, 250];
        let events = vec![encoding::encode_farm(&began(1)), unknown];
        stream.send(&Reply::Farm(events)).await.unwrap();
        assert_eq!(heard.recv().await, Some(Heard::Events(vec![began(1)])));
        connection.close("gone");
        assert!(matches!(heard.recv().await, Some(Heard::Lost { error }) if error.contains("gone")));
        let (connection, mut stream) = accept(&endpoint).await;
        stream.send(&Reply::Farm(vec![encoding::encode_farm(&began(2))])).await.unwrap();
        assert_eq!(heard.recv().await, Some(Heard::Events(vec![began(2)])));
        drop(heard);
        connection.closed().await;
    };
    let watching =
        watch::<Error>(async || Client::connect(address, &credentials).await, Error::to_string, sender);
    let (watched, ()) = tokio::join!(watching, coordinator);
    watched.unwrap();
}

#[tokio::test]
async fn who_may_not_watch_is_told_at_once() {
    let (endpoint, address, credentials) = farm();
    let (sender, _heard) = mpsc::channel(4);
    let coordinator = async {
        let (connection, mut stream) = accept(&endpoint).await;
        let refusal = Refusal { blame: Blame::Usage, message: "not you".to_owned(), hint: None };
        stream.send(&Reply::Refused(refusal)).await.unwrap();
        connection.closed().await;
    };
    let watching =
        watch::<Error>(async || Client::connect(address, &credentials).await, Error::to_string, sender);
    let watched = tokio::select! {
        watched = watching => watched,
        () = coordinator => panic!("it waits for the client"),
    };
    assert!(matches!(watched, Err(Error::Refused(refusal)) if refusal.message == "not you"));
}
