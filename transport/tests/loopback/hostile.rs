use farm_proto::WorkerMessage;
use farm_proto::client::Request;
use farm_proto::frame;
use farm_transport::{Error, Result};
use tokio::io::AsyncWriteExt;

use crate::pair::pair;

/// What the reader of a message makes of `bytes`.
async fn received(bytes: &[u8]) -> Result<Option<WorkerMessage>> {
    let pair = pair().await;
    let (mut ours, mut theirs) = pair.stream(bytes).await;
    ours.finish().unwrap();
    theirs.receive().await
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_anything_comes() {
    let too_long = u32::try_from(frame::LIMIT + 1).unwrap();
    for length in [too_long, u32::MAX] {
        let error = received(&length.to_le_bytes()).await.unwrap_err();
        let Error::Frame { source: frame::Error::TooLong(named), .. } = error else { panic!("{error:?}") };
        assert_eq!(named, length as usize);
    }
}

#[tokio::test]
async fn garbage_is_no_message() {
    for body in [&b""[..], b"x", &[0; 64], &[0xff; 4096]] {
        let error = received(&framed(body)).await.unwrap_err();
        assert!(matches!(error, Error::Frame { source: frame::Error::Invalid, .. }), "{error:?}");
        assert!(!error.is_connection_lost());
    }
}

#[tokio::test]
async fn a_message_that_ends_too_early_is_told_from_a_clean_end() {
    assert!(received(b"").await.unwrap().is_none());
    for bytes in [&b"\x01"[..], &framed(&[0; 64])[..40], &u32::to_le_bytes(64)] {
        let error = received(bytes).await.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
    }
    // The announced length is not believed: memory follows what has come.
    let largest = u32::try_from(frame::LIMIT).unwrap();
    assert!(matches!(received(&largest.to_le_bytes()).await, Err(Error::Truncated { .. })));
}

#[tokio::test]
async fn one_bad_stream_leaves_the_connection_alone() {
    let pair = pair().await;
    let (_ours, mut theirs) = pair.stream(&framed(&[0xaa; 100])).await;
    assert!(theirs.receive::<WorkerMessage>().await.is_err());
    let (mut ours, mut theirs) = pair.stream(&[]).await;
    ours.send(&Request::Images).await.unwrap();
    assert_eq!(theirs.receive().await.unwrap(), Some(Request::Images));
}

#[tokio::test]
async fn a_reset_is_told_from_an_end_and_from_a_lost_connection() {
    let pair = pair().await;
    let (ours, mut theirs) = pair.stream(b"\x01\x02").await;
    let (mut sender, _receiver) = ours.split();
    sender.flush().await.unwrap();
    sender.reset();
    let error = theirs.receive::<WorkerMessage>().await.unwrap_err();
    assert!(matches!(error, Error::Reset { .. }), "{error:?}");
    assert_eq!(error.to_string(), "worker `w1` broke off");
    assert!(!error.is_connection_lost());
}
