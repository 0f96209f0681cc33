use std::fmt::Debug;

use farm_proto::frame::Message;

use crate::samples;

/// Messages without `Eq` are compared by what they print and by their bytes.
fn read_back<M: Message + Debug>(messages: Vec<M>) {
    for message in messages {
        let bytes = message.encode().unwrap();
        let read = M::decode(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{message:?}"));
        assert_eq!(read.encode().unwrap().as_slice(), bytes.as_slice());
    }
}

#[test]
fn every_message_is_read_back() {
    read_back(samples::requests());
    read_back(samples::replies());
    read_back(samples::questions());
    read_back(samples::answers());
    read_back(samples::parts());
    read_back(samples::openings());
    read_back(samples::errands());
    read_back(samples::accounts());
    read_back(samples::orders());
    read_back(samples::reports());
}

#[test]
fn no_message_prints_a_secret() {
    let (answers, orders) = (samples::answers(), samples::orders());
    let printed = format!("{answers:?} {orders:?} {answers:#?} {orders:#?}");
    assert!(printed.contains("Secret(13 bytes)"));
    let secret = std::str::from_utf8(samples::SECRET).unwrap();
    assert!(!printed.contains(secret));
    // Nor as a list of numbers.
    let numbers = format!("{:?}", samples::SECRET);
    assert!(!printed.contains(numbers.trim_matches(['[', ']'])));
}
