//! What a build asks of the client that wants it. Each question is a stream of its own, so that none waits for another.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

use farm_model::{BlobDigest, BuildId, ContextName, DirectoryDigest, OciDigest};
use rkyv::{Archive, Deserialize, Serialize};

use crate::Secret;
use crate::transfer::ExportedImage;

/// A question of the coordinator to a client about one of its builds.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Question {
    /// Which build.
    pub build: BuildId,
    /// What is wanted.
    pub ask: Ask,
}

/// What is asked, with the obligation of whoever is asked.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Ask {
    /// Scan a context; only what lies at or below `paths` is needed, all of it when one of them is empty.
    /// → [`Answer::Scanned`] or [`Answer::Failed`]. A scan replaces the one before.
    Scan {
        /// Which context.
        context: ContextName,
        /// Paths below its root.
        paths: Vec<String>,
    },
    /// Directory records of the last scan. → an item each.
    Records {
        /// Which context.
        context: ContextName,
        /// Which records.
        digests: Vec<DirectoryDigest>,
    },
    /// Where files with these contents lie; asked only where paths are honoured. A file may have changed since, so its
    /// bytes are hashed again. → [`Answer::Located`].
    Locate {
        /// Which context.
        context: ContextName,
        /// The contents.
        blobs: Vec<BlobDigest>,
    },
    /// Contents that were seen in the last scan. → an item each; absent when a file has changed since.
    Blobs {
        /// Which context.
        context: ContextName,
        /// The contents.
        blobs: Vec<BlobDigest>,
    },
    /// The value of a secret. → [`Answer::Secret`] or [`Answer::Failed`].
    Secret {
        /// Its id.
        id: String,
    },
    /// Where the socket of an SSH agent is. → [`Answer::Agent`].
    Agent {
        /// Its id.
        id: String,
    },
    /// One connection to an SSH agent. → raw bytes both ways.
    AgentConnection {
        /// Its id.
        id: String,
    },
    /// A file of an OCI layout that the build names, by its path below the layout. → one item.
    LayoutFile {
        /// The layout as the request names it.
        layout: String,
        /// `index.json`, `oci-layout` or `blobs/sha256/…`.
        file: String,
    },
    /// Write a result: [`OutputPart`]s follow, the last a `Done` or `Failed`. → [`Answer::Written`] or
    /// [`Answer::Failed`] after the last part. Nothing appears under its final name before `Done`.
    Output {
        /// Position in the request's outputs.
        index: u32,
        /// The digest of the image's configuration; none for a plain file system.
        image: Option<OciDigest>,
    },
    /// Take note of an image that was put together. → [`Answer::Noted`].
    Exported(ExportedImage),
}

/// A piece of a result on its way to the client.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum OutputPart {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// That was all.
    Done,
    /// It cannot be had; what was sent so far is worth nothing.
    Failed,
}

/// What a client answers.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Answer {
    /// The context was scanned.
    Scanned {
        /// The encoded root of its tree; every file is owned by root.
        tree: Vec<u8>,
        /// Files that take part.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A path for each content that was asked for, where one was seen: the bytes of the path.
    Located(Vec<Option<Vec<u8>>>),
    /// A secret's value; none when the client was not given one of that name.
    Secret(Option<Secret>),
    /// The path of an agent's socket on the client; none when there is no agent of that name.
    Agent(Option<String>),
    /// A result stands under its final name.
    Written {
        /// Bytes that were written.
        bytes: u64,
    },
    /// It is remembered.
    Noted,
    /// It cannot be done.
    Failed {
        /// Why, the whole chain of causes in one line.
        reason: String,
        /// The way out, when there is one.
        hint: Option<String>,
    },
}
