//! Registries that misbehave, played by a small server.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use farm_model::Reference;
use farm_oci::error::Fault;
use farm_oci::fetch::{FetchOptions, fetch_url};
use farm_oci::pull::{OnProgress, Source, pull_base};
use farm_oci::resolved::sha256;
use farm_oci::{Client, Error, Limits, Pulled, Registry, RegistryConfig, Resolved, Timeouts};

use crate::images::platform;
use crate::server::{Answer, Request, Server};
use crate::support::{Scene, Tar, gzip};

/// An image that a server can play.
#[derive(Clone)]
struct Fake {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Fake {
    fn new() -> Self {
        let noise = (0..20_000_u32).fold(String::new(), |mut noise, number| {
            write!(noise, "{:x}", number.wrapping_mul(2_654_435_761)).unwrap();
            noise
        });
        let tar = Tar::default().file("hello", "world").file("noise", &noise).done();
        let layer = gzip(&tar);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["A=b"]}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            sha256(&tar)
        );
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"{}","size":{}}}]}}"#,
            sha256(config.as_bytes()),
            config.len(),
            sha256(&layer),
            layer.len()
        );
        Self { manifest: manifest.into_bytes(), config: config.into_bytes(), layer }
    }

    fn index(&self) -> Vec<u8> {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"x","digest":"{}","size":1,"platform":{{"os":"linux","architecture":"s390x"}}}},{{"mediaType":"x","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
            sha256(b"other"),
            sha256(&self.manifest),
            self.manifest.len()
        )
        .into_bytes()
    }

    /// What an honest registry answers.
    fn answer(&self, request: &Request) -> Answer {
        let path = &request.path;
        if path == "/v2/" {
            return Answer::new(200, "{}");
        }
        let documents = [
            ("/v2/team/app/manifests/multi".to_owned(), self.index()),
            ("/v2/team/app/manifests/1".to_owned(), self.manifest.clone()),
            (format!("/v2/team/app/manifests/{}", sha256(&self.manifest)), self.manifest.clone()),
            (format!("/v2/team/app/blobs/{}", sha256(&self.config)), self.config.clone()),
            (format!("/v2/team/app/blobs/{}", sha256(&self.layer)), self.layer.clone()),
        ];
        let found = documents.into_iter().find(|(known, _)| known == path);
        let Some((_, body)) = found else {
            return Answer::new(
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            );
        };
        Answer::new(200, body)
    }

    fn is_layer(&self, request: &Request) -> bool {
        request.path.ends_with(&sha256(&self.layer).to_string())
    }
}

pub(crate) fn config() -> RegistryConfig {
    RegistryConfig {
        timeouts: Timeouts {
            idle: Duration::from_millis(500),
            backoff: Duration::from_millis(5),
            retries: 2,
            ..Timeouts::default()
        },
        ..RegistryConfig::default()
    }
}

fn reference(server: &Server, rest: &str) -> Reference {
    format!("{}/{rest}", server.address).parse().unwrap()
}

async fn resolve(server: &Server, rest: &str) -> Result<Resolved, Error> {
    Client::new(config()).unwrap().resolve(&reference(server, rest), &platform()).await
}

async fn pull(scene: &Scene, server: &Server) -> Result<Pulled, Error> {
    let client = Arc::new(Client::new(config()).unwrap());
    let reference = reference(server, "team/app:1");
    let resolved = client.resolve(&reference, &platform()).await?;
    let quiet: OnProgress = Arc::new(|_| ());
    pull_base(&Source::Registry { client, reference }, &resolved, &scene.store, &Limits::default(), &quiet)
        .await
}

fn fault(error: Error) -> Fault {
    let Error::Registry { fault, .. } = error else { panic!("{error:?}") };
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let server = Server::new({
        let fake = fake.clone();
        move |request, _| fake.answer(request)
    });
    let pulled = pull(&scene, &server).await.unwrap();
    assert_eq!(scene.text(&pulled.tree, "hello"), "world");
    assert_eq!(scene.store.read_oci_blob(&sha256(&fake.layer), 1 << 20).unwrap().unwrap(), fake.layer);
    let again = pull(&scene, &server).await.unwrap();
    assert_eq!(again, pulled);
    assert_eq!(server.asked(&sha256(&fake.layer).to_string()), 1, "the second pull fetches no layer");
}

#[tokio::test]
async fn an_index_leads_to_the_platforms_manifest() {
    let fake = Fake::new();
    let server = Server::new(move |request, _| fake.answer(request));
    let resolved = resolve(&server, "team/app:multi").await.unwrap();
    assert_eq!(resolved.config.env("A"), Some("b"));
    let client = Client::new(config()).unwrap();
    let error = client
        .resolve(&reference(&server, "team/app:multi"), &"linux/riscv64".parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`linux/amd64`"), "{error}");
}

#[tokio::test]
async fn statuses_are_reported_with_registry_reference_and_a_way_out() {
    for (status, part, hint) in [
        (401, "authentication required (401)", "farm login"),
        (403, "access denied (403)", "account"),
        (404, "not found (404)", "spelling"),
        (500, "answered 500", "try again"),
    ] {
        let server = Server::new(move |request, _| {
            if request.path == "/v2/" {
                Answer::new(200, "")
            } else {
                Answer::new(status, r#"{"errors":[{"message":"because"}]}"#)
            }
        });
        let error = resolve(&server, "team/app:1").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("because") && text.contains("team/app:1"), "{text}");
        assert!(text.contains(&server.address), "{text}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        let tries = if status == 500 { 3 } else { 1 };
        assert_eq!(server.asked("manifests"), tries);
    }
}

#[tokio::test]
async fn a_server_that_recovers_is_asked_again() {
    let fake = Fake::new();
    let server = Server::new(move |request, before| match before {
        0 if request.path.contains("manifests") => Answer::new(503, ""),
        1 if request.path.contains("manifests") => Answer::new(429, "").with("retry-after", "0"),
        _ => fake.answer(request),
    });
    resolve(&server, "team/app:1").await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_a_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(config()).unwrap();
    let error = client.resolve(&format!("{address}/app:1").parse().unwrap(), &platform()).await.unwrap_err();
    assert!(error.to_string().contains("onnection refused"), "{error}");
    assert!(matches!(fault(error), Fault::Connect(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_transfer_is_resumed_where_it_stopped() {
    for honours_ranges in [true, false] {
        let (scene, fake) = (Scene::new(), Fake::new());
        let half = fake.layer.len() / 2;
        let server = Server::new(move |request, before| {
            let mut answer = fake.answer(request);
            if fake.is_layer(request) {
                if before == 0 {
                    answer.cut = Some(half);
                } else if honours_ranges && let Some(range) = request.headers.get("range") {
                    let start: usize =
                        range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
                    let total = answer.body.len();
                    answer = Answer::new(206, &answer.body[start..])
                        .with("content-range", &format!("bytes {start}-{}/{total}", total - 1));
                }
            }
            answer
        });
        let pulled = pull(&scene, &server).await.unwrap();
        assert_eq!(scene.text(&pulled.tree, "hello"), "world");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_always_stops_ends_in_an_error() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let half = fake.layer.len() / 2;
    let server = Server::new(move |request, _| {
        let mut answer = fake.answer(request);
        if fake.is_layer(request) {
            answer.cut = Some(half);
        }
        answer
    });
    let error = pull(&scene, &server).await.unwrap_err();
    assert!(matches!(fault(error), Fault::Interrupted { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_meets_a_deadline() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let server = Server::new(move |request, _| {
        let mut answer = fake.answer(request);
        if fake.is_layer(request) {
            answer.pause = Duration::from_secs(3);
        }
        answer
    });
    let error = pull(&scene, &server).await.unwrap_err();
    assert!(error.to_string().contains("nothing arrived for too long"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_meets_a_deadline() {
    // Nobody accepts, so the kernel does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reference = format!("{}/app:1", listener.local_addr().unwrap()).parse().unwrap();
    let error = Client::new(config()).unwrap().resolve(&reference, &platform()).await.unwrap_err();
    assert!(error.to_string().contains("nothing arrived for too long"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_digests_are_found_out() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let other = Server::new({
        let fake = fake.clone();
        move |request, _| {
            let mut answer = fake.answer(request);
            if fake.is_layer(request) {
                answer.body[100] ^= 1;
            }
            answer
        }
    });
    let error = pull(&scene, &other).await.unwrap_err();
    assert!(error.to_string().contains("arrived with the digest"), "{error}");
    let longer = Server::new({
        let fake = fake.clone();
        move |request, _| {
            let mut answer = fake.answer(request);
            if fake.is_layer(request) {
                answer.body.extend(b"more");
            }
            answer
        }
    });
    let error = pull(&scene, &longer).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    assert_eq!(scene.store.has_oci_blob(&sha256(&fake.layer)).unwrap(), None);
    let manifest = Server::new(move |request, _| {
        let answer = fake.answer(request);
        if request.path.contains("manifests") {
            answer.with("docker-content-digest", &sha256(b"lie").to_string())
        } else {
            answer
        }
    });
    let error = resolve(&manifest, "team/app:1").await.unwrap_err();
    assert!(error.to_string().contains("its bytes have"), "{error}");
}

#[tokio::test]
async fn tokens_are_fetched_with_the_credentials_of_dockers_configuration() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let tokens = Server::new(|request, _| {
        let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("me:secret"));
        if request.headers.get("authorization") == Some(&expected)
            && request.path.contains("scope=repository%3Ateam%2Fapp%3Apull")
        {
            Answer::new(200, r#"{"token":"good"}"#)
        } else {
            Answer::new(401, r#"{"details":"who are you"}"#)
        }
    });
    let realm = tokens.address.clone();
    let server = Server::new(move |request, _| {
        if request.headers.get("authorization").is_some_and(|value| value == "Bearer good") {
            return fake.answer(request);
        }
        let challenge =
            format!(r#"Bearer realm="http://{realm}/token",service="s",scope="repository:team/app:pull""#);
        Answer::new(401, "").with("www-authenticate", &challenge)
    });
    let error = resolve(&server, "team/app:1").await.unwrap_err();
    assert!(error.to_string().contains("who are you"), "{error}");
    assert!(matches!(fault(error), Fault::Unauthorized(_)));
    let auth = base64::engine::general_purpose::STANDARD.encode("me:secret");
    let file = scene.path("config.json");
    std::fs::write(&file, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, server.address)).unwrap();
    let client = Client::new(RegistryConfig { docker_config: Some(file), ..config() }).unwrap();
    client.resolve(&reference(&server, "team/app:1"), &platform()).await.unwrap();
    assert_eq!(tokens.asked("token"), 2, "one token serves manifest and config");
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_every_failure_is_told() {
    let fake = Fake::new();
    let empty = Server::new(|_, _| Answer::new(404, ""));
    let full = Server::new(move |request, _| fake.answer(request));
    let mut settings = config();
    let mirrors = vec![empty.address.clone(), full.address.clone()];
    settings.registries.insert("r.invalid".into(), Registry { mirrors, insecure: false });
    let client = Client::new(settings).unwrap();
    client.resolve(&"r.invalid/team/app:1".parse().unwrap(), &platform()).await.unwrap();
    assert_eq!(empty.asked("manifests"), 1);
    let error =
        client.resolve(&"r.invalid/team/app:2".parse().unwrap(), &platform()).await.unwrap_err().to_string();
    assert!(
        error.contains(&empty.address)
            && error.contains(&full.address)
            && error.contains("`r.invalid`: connection failed"),
        "{error}"
    );
}

#[tokio::test]
async fn files_are_fetched_for_add() {
    let scene = Scene::new();
    let server = Server::new(|request, before| match request.path.as_str() {
        "/dir/file.txt?x=1" => Answer::new(200, "hello")
            .with("last-modified", "Thu, 01 Jan 1970 00:00:09 GMT")
            .with("etag", "\"e\""),
        "/moved" => Answer::new(302, "").with("location", "/dir/file.txt?x=1"),
        "/flaky" if before == 0 => {
            let mut answer = Answer::new(200, "hello");
            answer.cut = Some(2);
            answer
        }
        "/flaky" => Answer::new(200, "hello"),
        _ => Answer::new(404, ""),
    });
    let options = FetchOptions { timeouts: config().timeouts, limit: 100, ..FetchOptions::default() };
    let url = |path: &str| format!("http://{}{path}", server.address);
    let fetched =
        fetch_url(&url("/dir/file.txt?x=1"), Some(sha256(b"hello")), &scene.store, &options).await.unwrap();
    assert_eq!(fetched.filename.as_deref(), Some("file.txt"));
    assert_eq!((fetched.modified, fetched.etag.as_deref()), (Some(9_000_000_000), Some("\"e\"")));
    assert_eq!(scene.store.read_blob(&fetched.blob, 100).unwrap(), b"hello");
    assert_eq!(
        fetch_url(&url("/moved"), None, &scene.store, &options).await.unwrap().filename.as_deref(),
        Some("moved")
    );
    fetch_url(&url("/flaky"), None, &scene.store, &options).await.unwrap();
    let error = fetch_url(&url("/moved"), Some(sha256(b"other")), &scene.store, &options).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    let error = fetch_url(&url("/none"), None, &scene.store, &options).await.unwrap_err();
    assert!(error.to_string().contains("not found (404)"), "{error}");
    let small = FetchOptions { limit: 4, ..options };
    let error = fetch_url(&url("/flaky"), None, &scene.store, &small).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(fetch_url("ftp://x/y", None, &scene.store, &small).await.is_err());
}
