//! Images that come and go without a build: push, pull, save, load.

use farm_model::{OciDigest, Platform, Reference};
use rkyv::{Archive, Deserialize, Serialize};

use crate::client::{Compression, Form};

/// One `farm push`.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PushRequest {
    /// A name or an id.
    pub image: String,
    /// What it is to be called in its registry.
    pub name: Reference,
    /// How new layers are packed.
    pub packing: Packing,
}

/// One `farm pull`.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PullRequest {
    /// What is asked for; it is the image's name in the farm.
    pub name: Reference,
    /// For which platform.
    pub platform: Platform,
}

/// One `farm save`.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SaveRequest {
    /// Names or ids of one or several images. The names go into the archive.
    pub images: Vec<String>,
    /// Which kind of archive.
    pub form: Form,
    /// How new layers are packed.
    pub packing: Packing,
}

/// How layers that the farm made are packed.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Packing {
    /// With what.
    pub compression: Compression,
    /// How hard it tries; none means the usual.
    pub level: Option<u8>,
}

/// What a push did.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PushedImage {
    /// The name that the image has in its registry now.
    pub name: String,
    /// Digest of its manifest.
    pub digest: OciDigest,
    /// Blobs that were sent.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Blobs that the registry took from other repositories of its own.
    pub mounted: u64,
    /// Blobs that were there.
    pub present: u64,
}

/// How far a transfer is.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Moved {
    /// Bytes that were moved.
    pub bytes: u64,
    /// Layers and documents that are done.
    pub done: u64,
}

/// An image that an output put together.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExportedImage {
    /// Digest of its configuration.
    pub config: OciDigest,
    /// The descriptor of its manifest, as JSON.
    pub descriptor: Vec<u8>,
}
