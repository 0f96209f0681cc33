//! Two endpoints on loopback: what each side of a connection sees of the other's doings and misdoings.

mod hostile;
mod items;
mod loss;
mod messages;
mod pair;
mod trust;
