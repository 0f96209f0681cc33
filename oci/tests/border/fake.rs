//! A registry in memory that follows the distribution-spec to the letter: pieces in order, a standing that can be asked
//! for, an address that changes with each answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use farm_oci::Assembled;
use farm_oci::resolved::sha256;

use crate::server::{Answer, Request};

#[derive(Default)]
struct Contents {
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Vec<u8>>,
    uploads: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<(String, String), Vec<u8>>,
    begun: usize,
}

/// The registry; clones are one.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Contents>>);

impl Fake {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Panics unless all of `image` is here.
    pub(crate) fn holds(&self, image: &Assembled) {
        let contents = self.0.lock().unwrap();
        for layer in &image.layers {
            let key = ("team/app".to_owned(), layer.descriptor.digest.to_string());
            assert_eq!(contents.blobs[&key].len() as u64, layer.descriptor.size);
        }
        assert_eq!(contents.manifests[&("team/app".to_owned(), "1".to_owned())], image.manifest);
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let path = request.path.strip_prefix("/v2/").unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if path.is_empty() {
            return Answer::new(200, "{}");
        }
        let mut contents = self.0.lock().unwrap();
        if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
            return contents.upload(request, repository, id, query);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            let found = contents.blobs.get(&(repository.to_owned(), digest.to_owned()));
            return found.map_or_else(|| Answer::new(404, ""), |bytes| Answer::new(200, bytes.clone()));
        }
        let (repository, tag) = path.split_once("/manifests/").unwrap();
        contents.manifests.insert((repository.to_owned(), tag.to_owned()), request.body.clone());
        Answer::new(201, "").with("docker-content-digest", &sha256(&request.body).to_string())
    }
}

impl Contents {
    fn upload(&mut self, request: &Request, repository: &str, id: &str, query: &str) -> Answer {
        if request.method == "POST" {
            self.begun += 1;
            let id = format!("u{}", self.begun);
            self.uploads.insert(id.clone(), Vec::new());
            return Answer::new(202, "")
                .with("location", &format!("/v2/{repository}/blobs/uploads/{id}?state=0"));
        }
        let Some(bytes) = self.uploads.get_mut(id) else {
            return Answer::new(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
        };
        if let Some(range) = request.headers.get("content-range") {
            let start: usize = range.split('-').next().unwrap().parse().unwrap();
            if start != bytes.len() {
                return Answer::new(416, "");
            }
        }
        bytes.extend_from_slice(&request.body);
        if request.method == "PUT" {
            let bytes = self.uploads.remove(id).unwrap();
            let digest = query.split("digest=").nth(1).unwrap().replace("%3A", ":");
            if sha256(&bytes).to_string() != digest {
                return Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
            }
            self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
            return Answer::new(201, "").with("docker-content-digest", &digest);
        }
        let standing = bytes.len();
        Answer::new(if request.method == "GET" { 204 } else { 202 }, "")
            .with("range", &format!("0-{}", standing.saturating_sub(1)))
            .with("location", &format!("/v2/{repository}/blobs/uploads/{id}?state={standing}"))
    }
}
