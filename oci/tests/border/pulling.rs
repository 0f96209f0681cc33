//! A real registry: what we export, another tool pushes, and we pull again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use farm_model::Reference;
use farm_oci::export::oci_directory;
use farm_oci::image::AssembleOptions;
use farm_oci::layout::Selector;
use farm_oci::pull::{OnProgress, Source, fetch_layers, pull_base};
use farm_oci::{Client, Image, ImageLayer, Layout, Limits, RegistryConfig};
use farm_tree::resolve::lookup;

use crate::images::{names, platform, sample};
use crate::support::{Scene, run, text};

/// The registry of Debian's package `docker-registry`; ends with its value.
pub(crate) struct DockerRegistry {
    child: Child,
    pub(crate) address: String,
}

impl DockerRegistry {
    fn start(scene: &Scene) -> Self {
        Self::start_with(scene, "", "")
    }

    /// With more lines in its configuration: of its HTTP server, and of its own.
    pub(crate) fn start_with(scene: &Scene, http: &str, more: &str) -> Self {
        let config = scene.path("registry.yml");
        let root = scene.path("registry");
        let yaml = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'{http}}}\n{more}",
            root.display()
        );
        std::fs::write(&config, yaml).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", text(&config)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("`docker-registry` is needed: apt-get install docker-registry ({error})")
            });
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("listening on ")?;
            Some(
                rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect::<String>(),
            )
        });
        // Whoever logs must be read, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: listening.expect("the registry says where it listens") }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_elsewhere_is_pulled_the_same() {
    let scene = Scene::new();
    let registry = DockerRegistry::start(&scene);
    let (image, merged) = sample(&scene);
    let assembled = image.assemble(&scene.store, AssembleOptions::default()).unwrap();
    let layout = scene.path("layout");
    oci_directory(&assembled, &scene.store, &names(), &layout).unwrap();
    let target = format!("docker://{}/team/app:1", registry.address);
    run(
        "skopeo",
        "skopeo",
        &[
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &format!("oci:{}:1", text(&layout)),
            &target,
        ],
    );

    let other = Scene::new();
    let reference: Reference = format!("{}/team/app:1", registry.address).parse().unwrap();
    let client = Arc::new(Client::new(RegistryConfig::default()).unwrap());
    assert_eq!(client.head(&reference).await.unwrap(), assembled.descriptor.digest);
    let resolved = client.resolve(&reference, &platform()).await.unwrap();
    assert_eq!(resolved.digest, assembled.descriptor.digest);
    assert_eq!((&resolved.config, &resolved.history), (&image.config, &image.history));
    let source = Source::Registry { client, reference };
    let quiet: OnProgress = Arc::new(|_| ());
    let pulled = pull_base(&source, &resolved, &other.store, &Limits::default(), &quiet).await.unwrap();
    assert_eq!(pulled.tree, merged);

    // The same layers leave under the same digests.
    let layers = resolved
        .layers
        .iter()
        .zip(&pulled.layers)
        .map(|(descriptor, layer)| ImageLayer::Base { descriptor: descriptor.clone(), layer: *layer });
    let again = Image {
        config: resolved.config.clone(),
        history: resolved.history.clone(),
        layers: layers.collect(),
    };
    fetch_layers(&source, &resolved.layers, &other.store).await.unwrap();
    let exported = again.assemble(&other.store, AssembleOptions::default()).unwrap();
    assert_eq!(exported.descriptor.digest, assembled.descriptor.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_is_pulled_in_place() {
    let scene = Scene::new();
    let (image, merged) = sample(&scene);
    let assembled = image.assemble(&scene.store, AssembleOptions::default()).unwrap();
    let path = scene.path("layout");
    oci_directory(&assembled, &scene.store, &names(), &path).unwrap();
    let layout = Layout::open(&path).unwrap();
    let resolved = layout.resolve(&Selector::Tag("latest".into()), &platform()).unwrap();
    let other = Scene::new();
    let quiet: OnProgress = Arc::new(|_| ());
    let pulled = pull_base(&Source::Layout(layout), &resolved, &other.store, &Limits::default(), &quiet)
        .await
        .unwrap();
    assert_eq!(pulled.tree, merged);
    assert!(lookup(&other.store, &pulled.tree, b"etc/old").unwrap().node.is_none());
}
