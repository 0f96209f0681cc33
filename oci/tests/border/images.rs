//! Images as other tools read them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use farm_model::{History, ImageConfig, Reference};
use farm_oci::export::{AtomicFile, docker_archive, oci_archive, oci_directory, rootfs_tar, write_directory};
use farm_oci::image::{AssembleOptions, Compression, Timestamps};
use farm_oci::layout::Selector;
use farm_oci::load::load_archive;
use farm_oci::resolved::sha256;
use farm_oci::{Assembled, Error, Image, ImageLayer, Layout, Limits};
use farm_tree::Tree;
use farm_tree::merge::merge_all;

use crate::support::{Scene, Tar, run, text};

const SECOND: i64 = 1_000_000_000;

pub(crate) fn platform() -> farm_model::Platform {
    "linux/amd64".parse().unwrap()
}

/// An image of two layers, the second of which deletes and links.
pub(crate) fn sample(scene: &Scene) -> (Image, Tree) {
    let base = Tar::default()
        .dir("./")
        .dir("etc")
        .file("etc/passwd", "root:x:0:0::/:/bin/sh\n")
        .file("etc/old", "")
        .symlink("e", "etc")
        .done();
    let base = scene.layer(&base, &Tree::empty()).unwrap();
    let top = Tar::default()
        .dir("./")
        .file("etc/.wh.old", "")
        .file("hello", "world")
        .link("hello2", "hello")
        .done();
    let top = scene.layer(&top, &base).unwrap();
    let merged = merge_all(&scene.store, [&base, &top]).unwrap();
    let mut config = ImageConfig::scratch(platform());
    config.cmd = Some(vec!["/hello".into()]);
    config.created = Some(1_700_000_000 * SECOND);
    config.labels.insert("a".into(), "b".into());
    let history = |text: &str, empty_layer| History {
        created: Some(1_700_000_000 * SECOND),
        created_by: text.into(),
        comment: "farm".into(),
        author: None,
        empty_layer,
    };
    let image = Image {
        config,
        history: vec![history("one", false), history("two", false), history("CMD", true)],
        layers: vec![ImageLayer::Built(base.layer_ref()), ImageLayer::Built(top.layer_ref())],
    };
    (image, merged)
}

pub(crate) fn names() -> Vec<Reference> {
    vec!["registry.example/team/app:1".parse().unwrap(), "app:latest".parse().unwrap()]
}

fn write(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), Error>) {
    let mut file = AtomicFile::create(path).unwrap();
    write(&mut file).unwrap();
    file.commit().unwrap();
}

fn assembled(scene: &Scene, image: &Image) -> Assembled {
    image.assemble(&scene.store, AssembleOptions::default()).unwrap()
}

#[test]
fn skopeo_and_umoci_read_an_oci_archive() {
    let scene = Scene::new();
    let (image, _) = sample(&scene);
    let image = assembled(&scene, &image);
    let archive = scene.path("image.tar");
    write(&archive, |out| oci_archive(&[(&image, &names())], &scene.store, out));
    let source = format!("oci-archive:{}:latest", text(&archive));
    let inspected = String::from_utf8(run("skopeo", "skopeo", &["inspect", &source])).unwrap();
    assert!(inspected.contains(&image.descriptor.digest.to_string()), "{inspected}");
    let copy = scene.path("copy");
    run("skopeo", "skopeo", &["copy", "--preserve-digests", &source, &format!("oci:{}:t", text(&copy))]);
    let bundle = scene.path("bundle");
    run("umoci", "umoci", &["unpack", "--image", &format!("{}:t", text(&copy)), text(&bundle)]);
    let root = bundle.join("rootfs");
    assert_eq!(fs::read_to_string(root.join("hello")).unwrap(), "world");
    assert_eq!(fs::metadata(root.join("hello")).unwrap().nlink(), 2);
    assert!(!root.join("etc/old").exists());
    assert_eq!(fs::read_link(root.join("e")).unwrap(), Path::new("etc"));
    // An independent reader of both documents.
    let manifest = oci_spec::image::ImageManifest::from_reader(&image.manifest[..]).unwrap();
    assert_eq!(manifest.layers().len(), 2);
    let config = oci_spec::image::ImageConfiguration::from_reader(&image.config[..]).unwrap();
    assert_eq!(config.history().as_ref().unwrap().len(), 3);
}

#[test]
fn skopeo_reads_a_docker_archive() {
    let scene = Scene::new();
    let (image, _) = sample(&scene);
    for compression in [Compression::Gzip, Compression::None] {
        let options = AssembleOptions { compression, ..AssembleOptions::default() };
        let image = image.assemble(&scene.store, options).unwrap();
        let archive = scene.path("docker.tar");
        write(&archive, |out| docker_archive(&[(&image, &names())], &scene.store, out));
        let source = format!("docker-archive:{}:app:latest", text(&archive));
        let config = run("skopeo", "skopeo", &["inspect", "--config", "--raw", &source]);
        assert_eq!(config, image.config);
        let _ = fs::remove_dir_all(scene.path("copy"));
        run("skopeo", "skopeo", &["copy", &source, &format!("oci:{}:t", text(&scene.path("copy")))]);
    }
}

#[test]
fn archives_are_loaded_as_the_same_image() {
    let scene = Scene::new();
    let (image, merged) = sample(&scene);
    let image = assembled(&scene, &image);
    let (oci, docker, old) = (scene.path("oci.tar"), scene.path("docker.tar"), scene.path("old.tar"));
    write(&oci, |out| oci_archive(&[(&image, &names())], &scene.store, out));
    write(&docker, |out| docker_archive(&[(&image, &names())], &scene.store, out));
    // An old archive by another tool: layers uncompressed, under names of its own.
    let source = format!("docker-archive:{}:app:latest", text(&docker));
    run("skopeo", "skopeo", &["copy", &source, &format!("docker-archive:{}:app:old", text(&old))]);
    for (archive, expected) in [
        (&oci, vec!["registry.example/team/app:1", "app:latest"]),
        (&docker, vec!["registry.example/team/app:1", "app:latest"]),
        (&old, vec!["app:old"]),
    ] {
        let other = Scene::new();
        let mut loaded = load_archive(fs::File::open(archive).unwrap(), &other.store).unwrap();
        let loaded = loaded.remove(0);
        assert_eq!(loaded.names.iter().map(Reference::familiar).collect::<Vec<_>>(), expected);
        assert_eq!(loaded.resolved.raw_config, image.config);
        let mut below = Tree::empty();
        let mut trees = Vec::new();
        for layer in &loaded.resolved.layers {
            let path = other.store.oci_blob_path(&layer.descriptor.digest).unwrap().unwrap();
            let tree = other
                .layer_with(&fs::read(path).unwrap(), layer.diff_id, &below, &Limits::default())
                .unwrap();
            below = tree.clone();
            trees.push(tree);
        }
        assert_eq!(merge_all(&other.store, &trees).unwrap(), merged);
    }
    let mut cut = fs::read(&docker).unwrap();
    cut.truncate(3000);
    assert!(load_archive(&cut[..], &Scene::new().store).is_err());
    let config = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let linked = Tar::default()
        .file("a/config.json", config)
        .link("b/config.json", "a/config.json")
        .file("manifest.json", r#"[{"Config":"b/config.json","Layers":[]}]"#)
        .done();
    assert_eq!(load_archive(&linked[..], &scene.store).unwrap()[0].resolved.raw_config, config.as_bytes());
    let foreign = Tar::default().file("manifest.json", r#"[{"Config":"../../x","Layers":[]}]"#).done();
    let error = load_archive(&foreign[..], &scene.store).unwrap_err();
    assert!(error.to_string().contains("it has no `x`"), "{error}");
    assert!(load_archive(&Tar::default().file("x", "y").done()[..], &scene.store).is_err());
}

#[test]
fn an_archive_with_more_images_than_anybody_has_is_refused_and_names_of_one_image_are_not() {
    let config = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = |number: usize| {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[],"annotations":{{"n":"{number}"}}}}"#,
            sha256(config.as_bytes()),
            config.len()
        )
    };
    let archive = |images: usize, names: usize| {
        let mut tar = Tar::default();
        tar.file(&format!("blobs/sha256/{}", &sha256(config.as_bytes()).to_string()[7..]), config);
        let mut entries = Vec::new();
        for number in 0..images {
            let manifest = manifest(number);
            let digest = sha256(manifest.as_bytes()).to_string();
            tar.file(&format!("blobs/sha256/{}", &digest[7..]), &manifest);
            for name in 0..names {
                entries.push(format!(
                    r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{},"annotations":{{"io.containerd.image.name":"a:{number}-{name}"}}}}"#,
                    manifest.len()
                ));
            }
        }
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        tar.file("index.json", &index).done()
    };
    let scene = Scene::new();
    let error = load_archive(&archive(1025, 1)[..], &scene.store).unwrap_err();
    assert!(error.to_string().contains("1024 images"), "{error}");
    let loaded = load_archive(&archive(1, 1100)[..], &scene.store).unwrap();
    assert_eq!((loaded.len(), loaded[0].names.len()), (1, 1100));
}

#[test]
fn layers_of_many_chunks_are_read_by_other_tools_whatever_packed_them() {
    let scene = Scene::new();
    let (mut image, _) = sample(&scene);
    let noise = (0..900_000_u32).fold(String::new(), |mut noise, number| {
        write!(noise, "{:x}", number.wrapping_mul(2_654_435_761)).unwrap();
        noise
    });
    let layer = scene.layer(&Tar::default().file("noise", &noise).done(), &Tree::empty()).unwrap();
    image.layers.push(ImageLayer::Built(layer.layer_ref()));
    image.history.truncate(2);
    image.history.push(image.history[1].clone());
    let mut sizes = Vec::new();
    for (compression, level) in [
        (Compression::Gzip, Some(1)),
        (Compression::Gzip, None),
        (Compression::Zstd, Some(19)),
        (Compression::None, None),
    ] {
        let options = AssembleOptions { compression, level, ..AssembleOptions::default() };
        let image = image.assemble(&scene.store, options).unwrap();
        sizes.push(image.layers[2].descriptor.size);
        let (archive, copy, bundle) = (scene.path("image.tar"), scene.path("copy"), scene.path("bundle"));
        let _ = (fs::remove_dir_all(&copy), fs::remove_dir_all(&bundle));
        write(&archive, |out| oci_archive(&[(&image, &names())], &scene.store, out));
        let source = format!("oci-archive:{}:latest", text(&archive));
        run("skopeo", "skopeo", &["copy", "--preserve-digests", &source, &format!("oci:{}:t", text(&copy))]);
        if compression == Compression::Zstd {
            // Not every umoci knows zstd.
            let (source, plain) = (format!("oci:{}:t", text(&copy)), scene.path("plain"));
            run(
                "skopeo",
                "skopeo",
                &["copy", "--dest-decompress", &source, &format!("dir:{}", text(&plain))],
            );
            assert!(plain.join(&image.layers[2].diff_id.to_string()[7..]).exists());
        } else {
            run("umoci", "umoci", &["unpack", "--image", &format!("{}:t", text(&copy)), text(&bundle)]);
            assert!(fs::read_to_string(bundle.join("rootfs/noise")).unwrap() == noise);
        }
        let resolved = Layout::open(&copy).unwrap().resolve(&Selector::Tag("t".into()), &platform()).unwrap();
        let blob = scene.store.oci_blob_path(&resolved.layers[2].descriptor.digest).unwrap().unwrap();
        scene
            .layer_with(&fs::read(blob).unwrap(), image.layers[2].diff_id, &Tree::empty(), &Limits::default())
            .unwrap();
    }
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2] && sizes[3] > sizes[0], "{sizes:?}");
}

#[test]
fn a_layout_directory_is_read_back_as_the_same_image() {
    let scene = Scene::new();
    let (image, _) = sample(&scene);
    let zstd = AssembleOptions { compression: Compression::Zstd, ..AssembleOptions::default() };
    let first = assembled(&scene, &image);
    let second = image.assemble(&scene.store, zstd).unwrap();
    assert_ne!(first.descriptor.digest, second.descriptor.digest);
    assert_eq!(first.config, second.config, "the image id does not depend on compression");
    let directory = scene.path("layout");
    oci_directory(&second, &scene.store, &names(), &directory).unwrap();
    let layout = Layout::open(&directory).unwrap();
    let digest = Selector::Digest(second.descriptor.digest);
    for selector in [
        Selector::Tag("1".into()),
        Selector::Tag("registry.example/team/app:1".into()),
        digest,
        Selector::Default,
    ] {
        let resolved = layout.resolve(&selector, &platform()).unwrap();
        assert_eq!(resolved.raw_config, second.config);
        assert_eq!(resolved.digest, second.descriptor.digest);
        assert_eq!(resolved.layers, second.layers);
    }
    let error = layout.resolve(&Selector::Tag("2".into()), &platform()).unwrap_err();
    assert!(matches!(error, Error::NotInLayout { .. }), "{error}");
    assert!(Layout::open(scene.directory.path()).is_err());
    // A blob that is a link out of the layout is not followed.
    let blob = directory.join("blobs/sha256").join(&second.config_descriptor.digest.to_string()[7..]);
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &blob).unwrap();
    let error = layout.resolve(&Selector::Default, &platform()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn packing_is_remembered_and_deterministic() {
    let scene = Scene::new();
    let (image, _) = sample(&scene);
    let first = assembled(&scene, &image);
    assert_eq!(first, assembled(&scene, &image));
    let other = Scene::new();
    let (image, _) = sample(&other);
    assert_eq!(first, assembled(&other, &image));
}

#[test]
fn a_given_date_reaches_config_history_and_files() {
    let scene = Scene::new();
    let (image, _) = sample(&scene);
    let with = |timestamps| {
        image.assemble(&scene.store, AssembleOptions { timestamps, ..AssembleOptions::default() }).unwrap()
    };
    let (kept, created, rewritten) =
        (with(Timestamps::Keep), with(Timestamps::Created(3)), with(Timestamps::Rewrite(3)));
    let config = String::from_utf8(created.config.clone()).unwrap();
    assert_eq!(config.matches("1970-01-01T00:00:03Z").count(), 4, "{config}");
    assert_eq!(created.layers, kept.layers);
    assert_ne!(rewritten.layers, kept.layers);
}

#[test]
fn a_file_system_becomes_a_tar_and_a_directory() {
    let scene = Scene::new();
    let (_, merged) = sample(&scene);
    let mut tar = Vec::new();
    rootfs_tar(&merged, &scene.store, None, &mut tar).unwrap();
    assert_eq!(scene.layer(&tar, &Tree::empty()).unwrap(), merged);
    let target = scene.path("out");
    fs::create_dir_all(target.join("etc/old")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", target.join("hello")).unwrap();
    let before = fs::read("/etc/passwd").unwrap();
    write_directory(&merged, &scene.store, &target).unwrap();
    assert_eq!(fs::read_to_string(target.join("hello")).unwrap(), "world");
    assert_eq!(fs::read("/etc/passwd").unwrap(), before);
    let hello = fs::metadata(target.join("hello")).unwrap();
    assert_eq!((hello.nlink(), hello.mtime(), hello.permissions().mode() & 0o7777), (2, 7, 0o644));
    assert_eq!(fs::metadata(target.join("etc")).unwrap().mtime(), 7);
    assert!(target.join("etc/old").is_dir(), "what else was there stays");
}

#[test]
fn a_directory_that_is_a_link_in_the_target_is_replaced_and_not_followed() {
    let scene = Scene::new();
    let tree = scene
        .layer(&Tar::default().dir("d").file("d/x", "").header(b'6', b"p", b"", 0).done(), &Tree::empty())
        .unwrap();
    let (target, elsewhere) = (scene.path("out"), scene.path("elsewhere"));
    fs::create_dir(&target).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, target.join("d")).unwrap();
    write_directory(&tree, &scene.store, &target).unwrap();
    assert!(target.join("d/x").exists());
    assert!(fs::symlink_metadata(target.join("p")).unwrap().file_type().is_fifo());
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn an_unfinished_target_leaves_nothing() {
    let scene = Scene::new();
    let target = scene.path("out.tar");
    let mut file = AtomicFile::create(&target).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    let left: Vec<_> =
        fs::read_dir(scene.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["store"]);
    let error = AtomicFile::create(&scene.path("missing/out.tar")).unwrap_err();
    assert!(error.to_string().contains("create `"), "{error}");
    assert!(AtomicFile::create(scene.directory.path()).is_err());
}
