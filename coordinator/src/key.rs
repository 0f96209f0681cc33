//! Cache keys of steps, and the preimages that explain them.
//!
//! A preimage is a list of named fields: the operation, what it says, and the content digests of what it reads. Its digest is the
//! key. It is kept beside the result, so that two of them can be compared field by field when somebody asks why a step ran.
//! Values of variables are in it as keyed hashes only: a preimage tells that `GIT_SHA` changed, not to what.
//!
//! In: command, variables that apply, user, working directory, mounts, network, and the content of parent and inputs.
//! Out: names, resource limits, secret values, log settings, times.

use farm_model::encoding::{self, Decoder, Encoder, Malformed};
use farm_model::op::{self, MountKind, Network, Sharing};
use farm_model::{ContentDigest, Platform, StepDigest};
use farm_tree::Tree;

/// Domain of step keys. A change of what goes into a key, or how, is a change of the version.
const DOMAIN: &str = "farm 2026-11 step key v1";

/// Names of fields that more than one place knows.
pub(crate) const OPERATION: &str = "operation";
pub(crate) const BASE: &str = "base";
pub(crate) const SOURCES: &str = "sources";
pub(crate) const VARIABLE: &str = "variable ";
pub(crate) const ARGUMENT: &str = "argument ";
pub(crate) const MOUNT_CONTENT: &str = "mount content ";

/// The secret under which values of variables are hashed; one a coordinator.
#[derive(Clone)]
pub(crate) struct ValueKey([u8; 32]);

impl ValueKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    fn hash(&self, value: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, value.as_bytes()).as_bytes()
    }
}

/// What a key is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preimage {
    fields: Vec<(String, Vec<u8>)>,
    /// Trees behind fields that are content digests, by the fields' names: no part of the key, but what tells later in
    /// which file two keys differ.
    trees: Vec<(String, Tree)>,
}

impl Preimage {
    /// A step on top of a stage whose merged tree is `parent`.
    pub(crate) fn new(operation: &str, parent: &Tree, platform: &Platform) -> Self {
        let mut preimage = Self::default();
        preimage.text(OPERATION, operation);
        preimage.digest(BASE, parent.content_digest());
        preimage.tree(BASE, parent.clone());
        preimage.text("platform", &platform.to_string());
        preimage
    }

    /// Remembers the tree behind the content digest of the field `name`.
    pub(crate) fn tree(&mut self, name: impl Into<String>, tree: Tree) {
        self.trees.push((name.into(), tree));
    }

    /// The trees behind fields.
    pub(crate) fn trees(&self) -> &[(String, Tree)] {
        &self.trees
    }

    /// The fields, in their order.
    pub(crate) fn fields(&self) -> &[(String, Vec<u8>)] {
        &self.fields
    }

    /// Reads the written form; the trees are not in it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let fields = decoder.list(|decoder| Ok((decoder.str()?.to_owned(), decoder.bytes()?.to_vec())))?;
        decoder.finish()?;
        Ok(Self { fields, trees: Vec::new() })
    }

    pub(crate) fn text(&mut self, name: impl Into<String>, value: &str) {
        self.fields.push((name.into(), value.as_bytes().to_vec()));
    }

    pub(crate) fn digest(&mut self, name: impl Into<String>, content: ContentDigest) {
        self.fields.push((name.into(), content.0.to_vec()));
    }

    /// The written form: the number of fields, then each name and value.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.list(&self.fields, |encoder, (name, value)| {
            encoder.str(name).bytes(value);
        });
        encoder.into_bytes()
    }

    pub(crate) fn key(&self) -> StepDigest {
        StepDigest(encoding::digest(DOMAIN, &self.encode()))
    }
}

/// What `RUN` says; for each mount that shows something, `contents` has a tree with that alone in it.
pub(crate) fn of_run(
    mut preimage: Preimage,
    run: &op::Run,
    contents: &[Option<Tree>],
    values: &ValueKey,
) -> Preimage {
    for (index, argument) in run.argv.iter().enumerate() {
        preimage.text(format!("{ARGUMENT}{index}"), argument);
    }
    for (name, value) in &run.env {
        preimage.fields.push((format!("{VARIABLE}{name}"), values.hash(value).to_vec()));
    }
    preimage.text("user", &run.user);
    preimage.text("workdir", &run.workdir);
    preimage.text("hostname", &run.hostname);
    let network = match run.network {
        Network::Default => "default",
        Network::None => "none",
        Network::Host => "host",
    };
    preimage.text("network", network);
    for (name, address) in &run.extra_hosts {
        preimage.text(format!("host {name}"), address);
    }
    for (path, bytes) in &run.files {
        preimage.fields.push((format!("file {path}"), bytes.clone()));
    }
    for (mount, content) in run.mounts.iter().zip(contents) {
        preimage.text(format!("mount {}", mount.target), &describe(&mount.kind));
        if let Some(content) = content {
            let name = format!("{MOUNT_CONTENT}{}", mount.target);
            preimage.digest(name.clone(), content.root.record.content);
            preimage.tree(name, content.clone());
        }
    }
    preimage
}

/// What of a mount decides a result, but for its content.
fn describe(kind: &MountKind) -> String {
    match kind {
        MountKind::Bind { writable, .. } => format!("bind writable={writable}"),
        MountKind::Cache { id, sharing, read_only, mode, uid, gid, .. } => {
            let sharing = match sharing {
                Sharing::Shared => "shared",
                Sharing::Private => "private",
                Sharing::Locked => "locked",
            };
            format!("cache id={id} sharing={sharing} ro={read_only} mode={mode:o} owner={uid}:{gid}")
        }
        MountKind::Tmpfs { size } => {
            format!("tmpfs size={}", size.map_or_else(|| "any".to_owned(), |size| size.to_string()))
        }
        MountKind::Secret { id, required, env, file, mode, uid, gid } => {
            let env = env.as_deref().unwrap_or_default();
            format!(
                "secret id={id} required={required} env={env} file={file} mode={mode:o} owner={uid}:{gid}"
            )
        }
        MountKind::Ssh { id, required, mode, uid, gid } => {
            format!("ssh id={id} required={required} mode={mode:o} owner={uid}:{gid}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preimage() -> Preimage {
        let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: String::new() };
        let mut preimage = Preimage::default();
        preimage.text(OPERATION, "run");
        preimage.digest(BASE, ContentDigest([7; 32]));
        preimage.text("platform", &platform.to_string());
        preimage
    }

    #[test]
    fn a_preimage_is_read_as_it_was_written() {
        let preimage = preimage();
        let read = Preimage::decode(&preimage.encode()).unwrap();
        assert_eq!((read.fields(), read.key()), (preimage.fields(), preimage.key()));
        assert!(Preimage::decode(b"nonsense").is_err());
    }

    #[test]
    fn the_key_of_a_preimage_is_pinned() {
        let mut preimage = preimage();
        preimage.text("argument 0", "true");
        assert_eq!(
            preimage.key().to_string(),
            "c21a54c6bc12752ad29f0288b78dbc250a5a23784975da28b626d27f2ea0bf01",
            "a change here is a change of `DOMAIN`"
        );
    }

    #[test]
    fn the_value_of_a_variable_is_not_in_the_preimage() {
        let run = op::Run {
            argv: vec!["true".into()],
            env: vec![("TOKEN".into(), "a-plain-value".into())],
            unkeyed_env: Vec::new(),
            user: String::new(),
            workdir: "/".into(),
            mounts: Vec::new(),
            files: Vec::new(),
            network: Network::None,
            hostname: String::new(),
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
        };
        let key = |secret: u8| of_run(preimage(), &run, &[], &ValueKey::new([secret; 32]));
        let encoded = key(1).encode();
        assert!(!encoded.windows(13).any(|window| window == b"a-plain-value"));
        assert_ne!(key(1).key(), key(2).key());
    }
}
