//! Frames byte for byte. When one of these changes, the layout has changed, and with it the ALPN must.

use farm_model::event::Stream;
use farm_proto::frame::Message;
use farm_proto::worker::Opening;
use farm_proto::{ALPN, CoordinatorMessage, WorkerMessage};

use crate::samples::LEASE;

/// Parses hexadecimal digits up to a `#` in each line.
fn bytes(annotated: &str) -> Vec<u8> {
    let digits: String = annotated
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::chars)
        .filter(char::is_ascii_hexdigit)
        .collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn dump(bytes: &[u8]) -> String {
    let rows = bytes
        .chunks(16)
        .map(|row| row.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x} ")));
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

fn check(message: &impl Message, annotated: &str) {
    let encoded = message.encode().unwrap();
    assert_eq!(dump(&encoded), dump(&bytes(annotated)), "a change of layout needs a new ALPN");
}

#[test]
fn the_layouts_below_belong_to_this_version() {
    assert_eq!(ALPN, b"farm/1");
}

#[test]
fn a_log_line() {
    let message =
        WorkerMessage::Logged { lease: LEASE, stream: Stream::Stderr, bytes: b"cc: warning\n".to_vec() };
    check(
        &message,
        "
            63 63 3a 20 77 61 72 6e 69 6e 67 0a    # what the root points at: `cc: warning`
            00 00 00 00                            # up to the root's alignment
            06 00 00 00 00 00 00 00                # the root: the seventh variant
            03 00 00 00 00 00 00 00                # lease: epoch
            04 00 00 00 00 00 00 00                # lease: counter
            01 00 00 00                            # standard error
            d4 ff ff ff                            # bytes: 44 before this word
            0c 00 00 00                            # bytes: so many
            # as long as the largest variant:
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00
        ",
    );
}

#[test]
fn a_cancellation() {
    check(
        &CoordinatorMessage::Cancel { lease: LEASE },
        "
            01 00 00 00 00 00 00 00                # the second variant
            03 00 00 00 00 00 00 00                # lease: epoch
            04 00 00 00 00 00 00 00                # lease: counter
            # as long as the largest variant:
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00
        ",
    );
}

#[test]
fn the_opening_of_a_session() {
    check(
        &Opening::Session,
        "
            00                                     # the first variant
            # as long as the largest variant:
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        ",
    );
}
