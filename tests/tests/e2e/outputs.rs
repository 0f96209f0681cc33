//! Where results go: OCI archive, directory, tar, image id.

use std::os::unix::fs::MetadataExt;

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::image::Image;

const DOCKERFILE: &str = "FROM busybox AS b\n\
    RUN mkdir /out && echo 1 > /out/f && chown 5:6 /out/f && ln /out/f /out/h && ln -s f /out/l && chmod 4711 /out/f\n\
    FROM scratch\nCOPY --from=b /out /\nENV A=b\n";

#[test]
fn an_archive_names_its_image_by_the_tag() {
    let farm = Farm::new();
    let context = Context::new("FROM scratch\nCOPY Dockerfile /\n");
    let outcome = farm.build(context.path()).option("-t", "example.com/team/app:v1").run().expect(0);
    let name = outcome.image().name.unwrap_or_default();
    assert!(name.contains("v1"), "the annotation is `{name}`");
}

#[test]
fn the_image_id_is_the_digest_of_the_config() {
    let farm = Farm::new();
    let file = farm.scratch("id");
    let outcome = farm.build(Context::new(DOCKERFILE).path()).option("--iidfile", &file).run().expect(0);
    let id = std::fs::read_to_string(file).unwrap();
    assert_eq!(outcome.image().manifest["config"]["digest"].as_str(), Some(id.trim()));
}

#[test]
fn a_directory_gets_the_files_themselves() {
    let farm = Farm::new();
    let place = farm.scratch("files");
    let context = Context::new(DOCKERFILE);
    let path = context.path().to_str().unwrap();
    let spec = format!("type=local,dest={}", place.display());
    let _built = farm.command(&["build", "--output", &spec, path]).run().expect(0);
    let file = std::fs::metadata(place.join("f")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777, file.nlink()), (5, 6, 0o4711, 2));
    assert_eq!(file.ino(), std::fs::metadata(place.join("h")).unwrap().ino());
    assert_eq!(std::fs::read_link(place.join("l")).unwrap().to_str(), Some("f"));
}

#[test]
fn a_tar_holds_the_root_file_system() {
    let farm = Farm::new();
    let place = farm.scratch("files.tar");
    let context = Context::new(DOCKERFILE);
    let path = context.path().to_str().unwrap();
    let spec = format!("type=tar,dest={}", place.display());
    let _built = farm.command(&["build", "--output", &spec, path]).run().expect(0);
    let mut files = farm_tests::filesystem::Filesystem::default();
    files.apply(&std::fs::read(place).unwrap()).unwrap();
    assert_eq!(files.text("f"), "1\n");
    assert_eq!(files.inode("f").unwrap().view["mode"], "4711");
}

#[test]
fn a_layout_directory_is_an_image_too() {
    let farm = Farm::new();
    let place = farm.scratch("layout");
    let context = Context::new(DOCKERFILE);
    let path = context.path().to_str().unwrap();
    let spec = format!("type=oci,tar=false,dest={}", place.display());
    let _built = farm.command(&["build", "--output", &spec, path]).run().expect(0);
    assert_eq!(Image::open(&place).unwrap().flatten().unwrap().text("f"), "1\n");
}

#[test]
fn several_outputs_of_one_build_agree() {
    let farm = Farm::new();
    let place = farm.scratch("files");
    let outcome = farm
        .build(Context::new(DOCKERFILE).path())
        .option("--output", format!("type=local,dest={}", place.display()))
        .run()
        .expect(0);
    assert_eq!(outcome.files().text("f"), std::fs::read_to_string(place.join("f")).unwrap());
}

#[test]
fn the_same_build_gives_the_same_bytes() {
    let farm = Farm::new();
    let context = Context::new(DOCKERFILE);
    let first = farm.build(context.path()).env("SOURCE_DATE_EPOCH", "1700000000").run().expect(0);
    let second = farm.build(context.path()).env("SOURCE_DATE_EPOCH", "1700000000").run().expect(0);
    let bytes = |outcome: &farm_tests::farm::Outcome| std::fs::read(outcome.archive().unwrap()).unwrap();
    assert!(bytes(&first) == bytes(&second), "two archives of one image differ");
    assert_eq!(first.image().config["created"], "2023-11-14T22:13:20Z");
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_that_names_it() {
    let farm = Farm::new();
    let context = Context::new("FROM scratch\n");
    let path = context.path().to_str().unwrap();
    let outcome = farm.command(&["build", "--output", "type=oci,dest=/proc/no/image.tar", path]).run();
    let outcome = outcome.says(&["/proc/no/image.tar"]);
    assert_eq!(outcome.status, Some(3), "{}", outcome.log);
}

#[test]
fn other_tools_read_the_archive() {
    let farm = Farm::new();
    let outcome = farm.build(Context::new(DOCKERFILE).path()).option("-t", "app:1").run().expect(0);
    let archive = format!("oci-archive:{}", outcome.archive().unwrap().display());
    let done = std::process::Command::new("skopeo").args(["inspect", "--config", &archive]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("A=b"));
}
