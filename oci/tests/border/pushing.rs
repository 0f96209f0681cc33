//! Images are pushed: to a real registry, and to one that misbehaves.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farm_model::{OciDigest, Reference};
use farm_oci::error::Fault;
use farm_oci::image::AssembleOptions;
use farm_oci::push::{OnProgress, PushOptions, Pushed, Pusher};
use farm_oci::registry::login::{login, logout};
use farm_oci::resolved::sha256;
use farm_oci::{Assembled, Client, Error, Image, ImageLayer, RegistryConfig};
use farm_tree::Tree;

use crate::fake::Fake;
use crate::images::{platform, sample};
use crate::pulling::DockerRegistry;
use crate::registries::config;
use crate::server::{Answer, Request, Server};
use crate::support::{Scene, Tar, run, text};

/// A line for htpasswd: `me` with the password `secret`.
const HTPASSWD: &str = "me:$2b$05$wrNyUrFCvCcmOF2DTEVrUeKByAuqC8Lo/3sSWQJPeQoTtw6TAz6Gi\n";

/// Bytes of a chunk in these tests.
const CHUNK: u64 = 16 << 10;

/// An image with a layer of several chunks.
fn noisy(scene: &Scene) -> (Image, Assembled) {
    let noise = (0..40_000_u32).fold(String::new(), |mut noise, number| {
        write!(noise, "{:x}", number.wrapping_mul(2_654_435_761)).unwrap();
        noise
    });
    let (mut image, _) = sample(scene);
    let layer = scene.layer(&Tar::default().file("noise", &noise).done(), &Tree::empty()).unwrap();
    image.layers.push(ImageLayer::Built(layer.layer_ref()));
    let assembled = image.assemble(&scene.store, AssembleOptions::default()).unwrap();
    assert!(assembled.layers[2].descriptor.size > 4 * CHUNK);
    (image, assembled)
}

fn quiet() -> OnProgress {
    Arc::new(|_| ())
}

async fn push_with(
    scene: &Scene,
    config: RegistryConfig,
    image: &Assembled,
    reference: &str,
    options: &PushOptions,
) -> Result<Pushed, Error> {
    push_by(scene, &Client::new(config).unwrap(), image, reference, options).await
}

async fn push_by(
    scene: &Scene,
    client: &Client,
    image: &Assembled,
    reference: &str,
    options: &PushOptions,
) -> Result<Pushed, Error> {
    let on_progress = quiet();
    let pusher = Pusher { client, store: &scene.store, options, on_progress: &on_progress };
    let reference: Reference = reference.parse().unwrap();
    pusher.push(image, &reference).await
}

async fn push(scene: &Scene, server: &Server, image: &Assembled) -> Result<Pushed, Error> {
    let options = PushOptions { chunk: CHUNK, ..PushOptions::default() };
    push_with(scene, config(), image, &format!("{}/team/app:1", server.address), &options).await
}

fn fault(error: Error) -> Fault {
    let Error::Push { fault, .. } = error else { panic!("{error:?}") };
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_registry_takes_an_image_once_and_mounts_it_elsewhere() {
    let scene = Scene::new();
    let registry = DockerRegistry::start_with(&scene, "", "");
    let (_, image) = noisy(&scene);
    let options = PushOptions { chunk: CHUNK, ..PushOptions::default() };
    let name = format!("{}/team/app:1", registry.address);
    let first = push_with(&scene, config(), &image, &name, &options).await.unwrap();
    assert_eq!((first.uploaded.0, first.present.0, first.digest), (4, 0, Some(image.descriptor.digest)));
    let source = format!("docker://{name}");
    let inspected = run("skopeo", "skopeo", &["inspect", "--tls-verify=false", &source]);
    let inspected = String::from_utf8(inspected).unwrap();
    assert!(inspected.contains(&image.descriptor.digest.to_string()), "{inspected}");
    let copy = scene.path("copy");
    run(
        "skopeo",
        "skopeo",
        &["copy", "--preserve-digests", "--src-tls-verify=false", &source, &format!("oci:{}:t", text(&copy))],
    );
    let again = push_with(&scene, config(), &image, &name, &options).await.unwrap();
    assert_eq!((again.uploaded.0, again.present.0), (0, 4));

    let known = |layer: &farm_oci::LayerDescriptor| (layer.descriptor.digest, vec!["team/app".to_owned()]);
    let sources = image.layers.iter().map(known).collect();
    let options = PushOptions { sources, ..options };
    let name = format!("{}/other/app:2", registry.address);
    let mounted = push_with(&scene, config(), &image, &name, &options).await.unwrap();
    assert_eq!((mounted.mounted.0, mounted.uploaded.0), (3, 1), "the configuration is sent");
    let resolved = Client::new(config()).unwrap().resolve(&name.parse().unwrap(), &platform()).await.unwrap();
    assert_eq!(resolved.digest, image.descriptor.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_tls_and_passwords_takes_only_the_right_one() {
    let scene = Scene::new();
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key, users) = (scene.path("cert.pem"), scene.path("key.pem"), scene.path("users"));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(&users, HTPASSWD).unwrap();
    let tls = format!(", tls: {{certificate: {}, key: {}}}", text(&certificate), text(&key));
    let auth = format!("auth: {{htpasswd: {{realm: r, path: {}}}}}\n", text(&users));
    let registry = DockerRegistry::start_with(&scene, &tls, &auth);
    let (_, image) = noisy(&scene);
    let name = format!("{}/team/app:1", registry.address);
    let as_user = |password: &str| {
        let file = scene.path(password);
        let auth = STANDARD.encode(format!("me:{password}"));
        std::fs::write(&file, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.address))
            .unwrap();
        RegistryConfig { docker_config: Some(file), ..config() }
    };
    let options = PushOptions::default();
    let error = push_with(&scene, config(), &image, &name, &options).await.unwrap_err();
    assert!(error.to_string().contains("authentication required (401)"), "{error}");
    let error = push_with(&scene, as_user("guess"), &image, &name, &options).await.unwrap_err();
    assert!(error.hint().unwrap().contains("log in again with `farm login"), "{:?}", error.hint());
    assert!(matches!(fault(error), Fault::Refused(_)));
    let pushed = push_with(&scene, as_user("secret"), &image, &name, &options).await.unwrap();
    assert_eq!(pushed.uploaded.0, 4);

    let file = scene.path("docker/config.json");
    let logged_in = || RegistryConfig { docker_config: Some(file.clone()), ..config() };
    let error = login(logged_in(), &registry.address, "me", "guess").await.unwrap_err();
    assert!(error.to_string().contains("log in to `") && error.hint().is_some(), "{error}");
    assert!(!file.exists(), "what is refused is not kept");
    login(logged_in(), &registry.address, "me", "secret").await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let client = Client::new(logged_in()).unwrap();
    push_by(&scene, &client, &image, &name, &options).await.unwrap();
    assert!(logout(logged_in(), &registry.address).await.unwrap());
    assert!(!logout(logged_in(), &registry.address).await.unwrap());
    // Who has logged out is forgotten by whoever runs on as well.
    push_by(&scene, &client, &image, &name, &options).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_goes_on_where_the_registry_stands() {
    let (scene, fake, cuts) = (Scene::new(), Fake::new(), Arc::new(AtomicUsize::new(0)));
    let (_, image) = noisy(&scene);
    let server = Server::hanging_up(
        {
            let fake = fake.clone();
            move |request, _| fake.answer(request)
        },
        {
            let cuts = Arc::clone(&cuts);
            move |request: &Request| {
                let third =
                    request.method == "PATCH" && request.headers["content-range"].starts_with("32768-");
                (third && cuts.fetch_add(1, Ordering::SeqCst) < 2).then_some(5_000)
            }
        },
    );
    push(&scene, &server, &image).await.unwrap();
    assert!(cuts.load(Ordering::SeqCst) > 0, "a connection was lost");
    fake.holds(&image);
    let requests = server.requests.lock().unwrap();
    let sent: usize = requests.iter().map(|request| request.body.len()).sum();
    let size: u64 = image.layers.iter().map(|layer| layer.descriptor.size).sum();
    assert!(sent < usize::try_from(size).unwrap() + 3 * 16_384, "{sent} of {size} bytes were sent");
    assert!(requests.iter().any(|request| {
        request.headers.get("content-range").is_some_and(|range| range.starts_with("37768-"))
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_upload_begins_anew_and_a_busy_registry_is_asked_again() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let (_, image) = noisy(&scene);
    let (forgets, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let server = Server::new({
        let fake = fake.clone();
        move |request, _| {
            if request.method == "PATCH" && forgets.fetch_add(1, Ordering::SeqCst) == 2 {
                return Answer::new(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
            }
            if request.method == "POST" && busy.fetch_add(1, Ordering::SeqCst) < 2 {
                return Answer::new(429, "").with("retry-after", "0");
            }
            if request.method == "PUT"
                && request.path.contains("manifests")
                && busy.fetch_add(10, Ordering::SeqCst) < 10
            {
                return Answer::new(503, "");
            }
            fake.answer(request)
        }
    });
    push(&scene, &server, &image).await.unwrap();
    fake.holds(&image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_always_fails_is_given_up() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let (_, image) = noisy(&scene);
    for (status, part) in [(500, "answered 500"), (429, "answered 429"), (403, "access denied (403)")] {
        let fake = fake.clone();
        let server = Server::new(move |request, _| {
            if request.method == "PATCH" { Answer::new(status, "") } else { fake.answer(request) }
        });
        let error = push(&scene, &server, &image).await.unwrap_err();
        assert!(error.to_string().contains(part) && error.to_string().contains("push `"), "{error}");
        assert_eq!(server.asked("manifests"), 0, "nothing gets a name");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_of_a_registry_are_found_out() {
    let scene = Scene::new();
    let (_, image) = noisy(&scene);
    let lie = sha256(b"lie").to_string();
    for (method, part) in [("PUT", "blobs"), ("PUT", "manifests"), ("HEAD", "blobs")] {
        let (fake, lie) = (Fake::new(), lie.clone());
        let server = Server::new(move |request, _| {
            if request.method == method && request.path.contains(part) {
                let status = if method == "HEAD" { 200 } else { 201 };
                return Answer::new(status, "").with("docker-content-digest", &lie);
            }
            fake.answer(request)
        });
        let error = push(&scene, &server, &image).await.unwrap_err();
        assert!(error.to_string().contains("says that it has"), "{error}");
    }
    // One that stores another manifest and says nothing of it.
    let fake = Fake::new();
    let server =
        Server::new(move |request, _| match (&request.method[..], request.path.contains("manifests")) {
            ("PUT", true) => Answer::new(201, ""),
            ("GET", true) => Answer::new(200, "{}"),
            _ => fake.answer(request),
        });
    let error = push(&scene, &server, &image).await.unwrap_err();
    assert!(error.to_string().contains("the manifest is"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_layer_is_never_pushed_and_set_aside() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let (_, image) = noisy(&scene);
    let digest = image.layers[2].descriptor.digest;
    let path = scene.store.oci_blob_path(&digest).unwrap().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20_000] ^= 1;
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&path, permissions).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let server = Server::new(move |request, _| fake.answer(request));
    let error = push(&scene, &server, &image).await.unwrap_err();
    assert!(error.is_loss(), "{error}");
    assert_eq!(scene.store.has_oci_blob(&digest).unwrap(), None);
    // It is packed again, and then it goes.
    let error = push(&scene, &server, &image).await.unwrap_err();
    assert!(matches!(error, Error::MissingBaseBlob(_)), "{error}");
    let (_, image) = noisy(&scene);
    push(&scene, &server, &image).await.unwrap();
}

/// A token server: what it asks for and gives is in the path.
fn tokens(issue: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
    Server::new(issue)
}

fn with_login(scene: &Scene, server: &Server, entry: &str) -> RegistryConfig {
    let file = scene.path("config.json");
    std::fs::write(&file, format!(r#"{{"auths":{{"{}":{{{entry}}}}}}}"#, server.address)).unwrap();
    RegistryConfig { docker_config: Some(file), ..config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_in_the_middle_is_renewed() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let (_, image) = noisy(&scene);
    let issued = Arc::new(AtomicUsize::new(0));
    let tokens = tokens({
        let issued = Arc::clone(&issued);
        move |request, _| {
            assert!(request.path.contains("scope=repository%3Ateam%2Fapp%3Apull%2Cpush"), "{}", request.path);
            Answer::new(200, format!(r#"{{"token":"t{}"}}"#, issued.fetch_add(1, Ordering::SeqCst) + 1))
        }
    });
    let realm = tokens.address.clone();
    let valid = Arc::clone(&issued);
    let uses = AtomicUsize::new(0);
    let server = Server::new({
        let fake = fake.clone();
        move |request, _| {
            let token = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
            // Each token is good for a few requests.
            let good = token == format!("Bearer t{}", valid.load(Ordering::SeqCst));
            if good && uses.fetch_add(1, Ordering::SeqCst) % 5 != 4 {
                return fake.answer(request);
            }
            Answer::new(401, "")
                .with("www-authenticate", &format!(r#"Bearer realm="http://{realm}/token",service="s""#))
        }
    });
    let login = with_login(&scene, &server, r#""username":"me","password":"secret""#);
    let options = PushOptions { chunk: CHUNK, parallel: 1, ..PushOptions::default() };
    push_with(&scene, login, &image, &format!("{}/team/app:1", server.address), &options).await.unwrap();
    assert!(issued.load(Ordering::SeqCst) > 1);
    fake.holds(&image);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_whether_it_is_the_password_the_login_or_the_right() {
    let scene = Scene::new();
    let (_, image) = noisy(&scene);
    let options = PushOptions::default();
    for (entry, status, body, expected) in [
        (
            r#""username":"me","password":"no""#,
            401,
            r#"{"details":"incorrect password"}"#,
            "credentials were refused",
        ),
        (r#""identitytoken":"old""#, 400, r#"{"errors":[{"message":"token expired"}]}"#, "token expired"),
        (r#""username":"me","password":"secret""#, 200, r#"{"token":"pull-only"}"#, "do not allow this"),
    ] {
        let tokens = tokens(move |_, _| Answer::new(status, body));
        let realm = tokens.address.clone();
        let server = Server::new(move |_, _| {
            let challenge =
                format!(r#"Bearer realm="http://{realm}/token",service="s",error="insufficient_scope""#);
            Answer::new(401, "").with("www-authenticate", &challenge)
        });
        let login = with_login(&scene, &server, entry);
        let name = format!("{}/team/app:1", server.address);
        let error = push_with(&scene, login, &image, &name, &options).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some());
        assert!(!matches!(fault(error), Fault::Unauthorized(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_nothing_meets_a_deadline() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let (_, image) = noisy(&scene);
    let server = Server::new(move |request, _| {
        if request.method == "PATCH" {
            std::thread::sleep(std::time::Duration::from_secs(3));
        }
        fake.answer(request)
    });
    let started = std::time::Instant::now();
    let error = push(&scene, &server, &image).await.unwrap_err();
    assert!(error.to_string().contains("nothing arrived for too long"), "{error}");
    assert!(started.elapsed().as_secs() < 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_in_the_name_must_be_that_of_the_image() {
    let (scene, fake) = (Scene::new(), Fake::new());
    let (_, image) = noisy(&scene);
    let server = Server::new(move |request, _| fake.answer(request));
    let name = |digest: OciDigest| format!("{}/team/app@{digest}", server.address);
    let options = PushOptions::default();
    push_with(&scene, config(), &image, &name(image.descriptor.digest), &options).await.unwrap();
    let error = push_with(&scene, config(), &image, &name(sha256(b"")), &options).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
}
