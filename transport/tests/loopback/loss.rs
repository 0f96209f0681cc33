use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farm_proto::worker::Opening;
use farm_proto::{CoordinatorMessage, WorkerMessage};
use farm_transport::{Authority, Connection, Credentials, Endpoint, Error, Expected, Role};
use tokio::time::timeout;

use crate::pair::{LOOPBACK, SOON, credentials, pair};

#[tokio::test]
async fn an_orderly_end_is_none_and_says_its_reason() {
    let pair = pair().await;
    let (mut ours, _theirs) = pair.stream(b"x").await;
    pair.listener.close("the farm goes home").await;
    assert_eq!(timeout(SOON, pair.worker.closed()).await.unwrap(), "the farm goes home");
    assert!(pair.worker.accept().await.unwrap().is_none());
    assert!(pair.worker.is_closed());
    let error = ours.receive::<WorkerMessage>().await.unwrap_err();
    assert!(error.is_connection_lost());
    assert_eq!(error.to_string(), "the connection to coordinator `farm` is gone: the farm goes home");
    assert!(pair.worker.open().await.unwrap_err().is_connection_lost());
    assert!(pair.listener.accept().await.is_none());
    pair.dialler.close("").await;
}

#[tokio::test]
async fn nobody_at_an_address_of_this_machine_is_known_at_once() {
    let authority = Authority::new().unwrap();
    let dialler = Endpoint::dialing(&credentials(&authority, Role::Client, "me")).unwrap();
    let free = UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let start = Instant::now();
    let error = dialler.connect(free, &Expected::any(Role::Coordinator)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// A coordinator on a runtime of its own, and a connection to it over which something was said both ways.
///
/// Whoever loses its runtime says no farewell, just like a killed process.
async fn elsewhere(farm: &Credentials, dialler: &Endpoint) -> (tokio::runtime::Runtime, Connection) {
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = {
        let _inside = other.enter();
        Endpoint::bind(LOOPBACK, farm).unwrap()
    };
    let address = listener.local_address().unwrap();
    let _accepting = other.spawn(async move {
        let connection = listener.accept().await.unwrap().finish().await.unwrap();
        let mut stream = connection.accept().await.unwrap().unwrap();
        assert_eq!(stream.receive().await.unwrap(), Some(Opening::Session));
        stream.send(&CoordinatorMessage::Drain).await.unwrap();
        connection.closed().await
    });
    let connection = dialler.connect(address, &Expected::any(Role::Coordinator)).await.unwrap();
    let mut stream = connection.open().await.unwrap();
    stream.send(&Opening::Session).await.unwrap();
    assert!(stream.receive::<CoordinatorMessage>().await.unwrap().is_some());
    (other, connection)
}

#[tokio::test]
async fn a_killed_process_on_this_machine_is_noticed_soon() {
    let authority = Authority::new().unwrap();
    let dialler = Endpoint::dialing(&credentials(&authority, Role::Client, "me")).unwrap();
    let farm = credentials(&authority, Role::Coordinator, "farm");
    let (other, connection) = elsewhere(&farm, &dialler).await;
    let mut stream = connection.open().await.unwrap();
    other.shutdown_background();
    let start = Instant::now();
    let error = timeout(SOON, stream.receive::<WorkerMessage>()).await.unwrap().unwrap_err();
    assert!(error.is_connection_lost(), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(connection.closed().await, "its process is gone");
    assert!(connection.accept().await.unwrap_err().is_connection_lost());
}

/// Carries datagrams between one dialler and `to` until it is cut.
fn wire(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let near = UdpSocket::bind(LOOPBACK).unwrap();
    let far = UdpSocket::bind(LOOPBACK).unwrap();
    far.connect(to).unwrap();
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    let address = near.local_addr().unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let is_cut = Arc::clone(&cut);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        let mut dialler = None;
        // The sockets stay open after the cut: silence, not a refusal.
        loop {
            if let Ok((count, from)) = near.recv_from(&mut buffer) {
                // Probes are of another socket, and a byte long.
                if count > 1 && !is_cut.load(Ordering::Relaxed) {
                    dialler = Some(from);
                    let _ = far.send(&buffer[..count]);
                }
            }
            if let (Ok(count), Some(dialler)) = (far.recv(&mut buffer), dialler)
                && !is_cut.load(Ordering::Relaxed)
            {
                let _ = near.send_to(&buffer[..count], dialler);
            }
            if Arc::strong_count(&is_cut) == 1 {
                break;
            }
        }
    });
    (address, cut)
}

#[tokio::test]
async fn silence_ends_the_connection_on_both_sides() {
    let authority = Authority::new().unwrap();
    let listener = Endpoint::bind(LOOPBACK, &credentials(&authority, Role::Coordinator, "farm")).unwrap();
    let dialler = Endpoint::dialing(&credentials(&authority, Role::Worker, "w1")).unwrap();
    let (address, cut) = wire(listener.local_address().unwrap());
    let expected = Expected::any(Role::Coordinator);
    let (worker, coordinator) = tokio::join!(dialler.connect(address, &expected), async {
        listener.accept().await.unwrap().finish().await
    });
    let (worker, coordinator) = (worker.unwrap(), coordinator.unwrap());
    let mut stream = worker.open().await.unwrap();
    cut.store(true, Ordering::Relaxed);
    // From here on time passes as fast as nothing happens.
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let error = stream.receive::<WorkerMessage>().await.unwrap_err();
    assert_eq!(error.to_string(), "the connection to coordinator `farm` is gone: nothing came any more");
    assert_eq!(coordinator.closed().await, "nothing came any more");
    let waited = start.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(20)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_connection_without_a_word_stays_open() {
    let pair = pair().await;
    tokio::time::pause();
    let quiet = timeout(Duration::from_secs(60), pair.worker.closed()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn a_restarted_listener_says_that_it_knows_nothing() {
    let authority = Authority::new().unwrap();
    let farm = credentials(&authority, Role::Coordinator, "farm");
    let dialler = Endpoint::dialing(&credentials(&authority, Role::Worker, "w1")).unwrap();
    let (other, worker) = elsewhere(&farm, &dialler).await;
    let address = worker.remote_address();
    tokio::task::spawn_blocking(move || other.shutdown_timeout(SOON)).await.unwrap();
    let _again = Endpoint::bind(address, &farm).unwrap();
    let reason = timeout(Duration::from_secs(6), worker.closed()).await.unwrap();
    assert_eq!(reason, "the other side knows nothing of it any more");
}
