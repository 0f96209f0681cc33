//! What the transport carries on this machine: one item over one stream, items over many, and small messages in sequence
//! and at once. Both ends run in this process, so they share its processors.
//!
//! `cargo run --release -p farm-transport --example throughput [MEGABYTES]`

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, not a service")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use farm_model::{LeaseId, Scope};
use farm_proto::WorkerMessage;
use farm_transport::{Authority, Connection, Endpoint, Expected, Identity, Role, Stream};
use tokio::task::JoinSet;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const ROUNDS: usize = 5;
const MESSAGES: usize = 5_000;
const AT_ONCE: usize = 64;
const SMALL_ITEM: usize = 20 << 10;

#[tokio::main]
async fn main() -> Result<()> {
    let megabytes = std::env::args().nth(1).map_or(Ok(512), |text| text.parse::<usize>())?;
    let bytes = megabytes << 20;
    let authority = Authority::new()?;
    let identity = |role| Identity::new(role, "measured", Scope::main());
    let listener = Endpoint::bind(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        &authority.issue(&identity(Role::Coordinator)?)?,
    )?;
    let dialler = Endpoint::dialing(&authority.issue(&identity(Role::Client)?)?)?;
    let address = listener.local_address()?;
    let serving = tokio::spawn(serve(listener.clone()));

    let expected = Expected::any(Role::Coordinator);
    let start = Instant::now();
    for _ in 0..100 {
        dialler.connect(address, &expected).await?.close("");
    }
    println!("connections in sequence       {:>9.0} /s", 100.0 / start.elapsed().as_secs_f64());

    let connection = dialler.connect(address, &expected).await?;
    let large = vec![0x5a; bytes];
    report_bytes("one item", bytes, || items(&connection, vec![&large])).await?;
    let pieces: Vec<&[u8]> = large.chunks(SMALL_ITEM).collect();
    report_bytes("items of 20 KiB", bytes, || items(&connection, pieces.clone())).await?;
    in_sequence(&connection).await?;
    at_once(&connection).await?;
    serving.abort();
    Ok(())
}

/// The median of some rounds.
async fn report_bytes<F: Future<Output = Result<()>>>(
    what: &str,
    bytes: usize,
    mut round: impl FnMut() -> F,
) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round().await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let megabytes = bytes / 1_000_000;
    let median = times[ROUNDS / 2].as_secs_f64();
    println!("{what:<29} {:>9.0} MB/s", f64::from(u32::try_from(megabytes)?) / median);
    Ok(())
}

/// Sends items over one stream and waits until the other side has read them.
async fn items(connection: &Connection, items: Vec<&[u8]>) -> Result<()> {
    let (mut sender, mut receiver) = connection.open().await?.split();
    sender.send(&WorkerMessage::Heartbeat { leases: Vec::new() }).await?;
    for item in items {
        sender.item(item).await?;
    }
    sender.finish()?;
    receiver.receive::<WorkerMessage>().await?;
    Ok(())
}

/// A message and its answer, about a kilobyte each.
async fn exchange(stream: &mut Stream, message: &WorkerMessage) -> Result<Duration> {
    let start = Instant::now();
    stream.send(message).await?;
    stream.receive::<WorkerMessage>().await?;
    Ok(start.elapsed())
}

fn kilobyte() -> WorkerMessage {
    WorkerMessage::Warned { lease: LeaseId { epoch: 1, counter: 1 }, message: "x".repeat(1000) }
}

async fn in_sequence(connection: &Connection) -> Result<()> {
    let mut stream = connection.open().await?;
    let mut times = Vec::with_capacity(MESSAGES);
    let start = Instant::now();
    for _ in 0..MESSAGES {
        times.push(exchange(&mut stream, &kilobyte()).await?);
    }
    let rate = f64::from(u32::try_from(MESSAGES)?) / start.elapsed().as_secs_f64();
    times.sort_unstable();
    println!("1 KB and answer, in sequence  {rate:>9.0} /s (median {:?})", times[MESSAGES / 2]);
    Ok(())
}

async fn at_once(connection: &Connection) -> Result<()> {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..AT_ONCE {
        let connection = connection.clone();
        tasks.spawn(async move {
            let mut stream = connection.open().await?;
            for _ in 0..MESSAGES / AT_ONCE * 4 {
                exchange(&mut stream, &kilobyte()).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let count = f64::from(u32::try_from(MESSAGES / AT_ONCE * 4 * AT_ONCE)?);
    println!("the same, {AT_ONCE} at once           {:>9.0} /s", count / start.elapsed().as_secs_f64());
    Ok(())
}

/// Answers whatever comes.
async fn serve(listener: Endpoint) -> Result<()> {
    let mut tasks = JoinSet::new();
    while let Some(incoming) = listener.accept().await {
        tasks.spawn(async move {
            let connection = incoming.finish().await?;
            let mut streams = JoinSet::new();
            while let Some(stream) = connection.accept().await? {
                streams.spawn(answer(stream));
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    Ok(())
}

/// Echoes messages; behind a heartbeat come items, whose end is acknowledged.
async fn answer(mut stream: Stream) -> Result<()> {
    while let Some(message) = stream.receive::<WorkerMessage>().await? {
        if matches!(message, WorkerMessage::Heartbeat { .. }) {
            let (sender, receiver) = stream.halves();
            while receiver.chunk(1 << 20).await?.is_some() {}
            sender.send(&message).await?;
            return Ok(());
        }
        stream.send(&message).await?;
    }
    Ok(())
}
