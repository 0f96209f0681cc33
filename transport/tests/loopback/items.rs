use farm_transport::{Error, Receiver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pair::pair;

const LARGE: usize = 64 << 20;

/// Reads an item of which every byte follows from its position.
async fn check(receiver: &mut Receiver, size: u64) {
    let mut position = 0;
    while position < size {
        let left = usize::try_from(size - position).unwrap();
        let chunk = receiver.chunk(left).await.unwrap().unwrap();
        for byte in &chunk {
            assert_eq!(u64::from(*byte), position % 251);
            position += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_any_size_come_in_order() {
    let pair = pair().await;
    let ours = pair.worker.open().await.unwrap();
    let (mut sender, _rest) = ours.split();
    let large: Vec<u8> = (0..LARGE).map(|position| u8::try_from(position % 251).unwrap()).collect();
    let send = async {
        sender.item(b"first").await.unwrap();
        sender.absent().await.unwrap();
        sender.item(b"").await.unwrap();
        sender.item_of(large.len() as u64, &mut &large[..]).await.unwrap();
        sender.item(&large[..100_000]).await.unwrap();
        sender.item(b"last").await.unwrap();
        sender.finish().unwrap();
    };
    let receive = async {
        let (_sender, mut receiver) = pair.coordinator.accept().await.unwrap().unwrap().split();
        assert_eq!(receiver.item(5).await.unwrap(), Some(b"first".to_vec()));
        assert_eq!(receiver.next_item().await.unwrap(), None);
        assert_eq!(receiver.next_item().await.unwrap(), Some(0));
        assert_eq!(receiver.next_item().await.unwrap(), Some(LARGE as u64));
        check(&mut receiver, LARGE as u64).await;
        assert_eq!(receiver.next_item().await.unwrap(), Some(100_000));
        let mut read = vec![0; 100_000];
        receiver.read_exact(&mut read).await.unwrap();
        assert_eq!(read, large[..100_000]);
        assert_eq!(receiver.item(5).await.unwrap(), Some(b"last".to_vec()));
        assert!(matches!(receiver.next_item().await, Err(Error::Truncated { .. })));
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn an_item_that_is_too_long_is_refused_by_its_length() {
    let pair = pair().await;
    let (_ours, mut theirs) = pair.stream(&(u64::MAX - 1).to_le_bytes()).await;
    let error = theirs.halves().1.item(1000).await.unwrap_err();
    assert!(matches!(error, Error::LongItem { size, limit: 1000, .. } if size == u64::MAX - 1));
}

#[tokio::test]
async fn an_item_that_ends_too_early_is_an_error() {
    let pair = pair().await;
    let (mut ours, mut theirs) = pair.stream(&10_u64.to_le_bytes()).await;
    ours.halves().0.write_all(b"short").await.unwrap();
    ours.finish().unwrap();
    assert!(matches!(theirs.halves().1.item(1000).await, Err(Error::Truncated { .. })));
}

#[tokio::test]
async fn a_source_that_has_less_than_was_announced_resets_the_stream() {
    let pair = pair().await;
    let (mut ours, mut theirs) = pair.stream(&[]).await;
    let sent = ours.halves().0.item_of(10, &mut &b"short"[..]).await;
    assert!(matches!(sent, Err(Error::Source(_))));
    let error = theirs.halves().1.item(1000).await.unwrap_err();
    assert!(matches!(error, Error::Reset { .. }), "{error:?}");
}

#[tokio::test]
async fn messages_pass_in_front_of_items() {
    let pair = pair().await;
    let (mut bulk, _unread) = pair.stream(&[]).await;
    let large = vec![0; LARGE];
    let item = bulk.halves().0.item(&large);
    let message = async {
        let (mut ours, mut theirs) = pair.stream(&[]).await;
        ours.send(&farm_proto::client::Request::Status).await.unwrap();
        assert_eq!(theirs.receive().await.unwrap(), Some(farm_proto::client::Request::Status));
    };
    tokio::select! {
        sent = item => panic!("nobody reads the item: {sent:?}"),
        () = message => {}
    }
}
