//! The console as people see it: the same events, inputs and times give the same frames.

#![expect(clippy::unwrap_used, reason = "tests")]

mod console {
    mod docs;
    pub(crate) mod farm;
    mod frames;
    mod hostile;
    mod keys;
    mod speed;
}
