//! Images that come and go without a build, and builds that push: against the registry of Debian's `docker-registry`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use serde_json::Value;

/// A registry on loopback; ends with its value.
struct Registry {
    child: Child,
    address: String,
    _root: tempfile::TempDir,
}

impl Registry {
    fn for_farm(farm: &Farm) -> Self {
        let root = tempfile::tempdir().unwrap();
        let yaml = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            root.path().display()
        );
        let file = root.path().join("registry.yml");
        std::fs::write(&file, yaml).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`docker-registry` is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("listening on ")?;
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
            Some(rest[..end.unwrap_or(rest.len())].to_owned())
        });
        // Whoever logs must be read, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.expect("the registry says where it listens");
        farm.reach(&address);
        Self { child, address, _root: root }
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn context() -> Context {
    Context::new("FROM busybox\nRUN echo made > /made\nCOPY f /\nCMD [\"/bin/cat\", \"/f\"]\n")
        .file("f", "from the context\n")
}

#[test]
fn a_build_pushes_and_its_image_comes_back() {
    let farm = Farm::new();
    let registry = Registry::for_farm(&farm);
    let (name, metadata, archive) =
        (registry.name("team/app:1"), farm.scratch("meta.json"), farm.scratch("image.tar"));
    let (file, output) = (metadata.to_str().unwrap(), format!("type=docker,dest={}", archive.display()));
    let context = context();
    let path = context.path().to_str().unwrap();
    let words = ["build", "-q", "-t", &name, "--push", "-o", &output, "--metadata-file", file, path];
    let id = farm.command(&words).run().expect(0).stdout.trim().to_owned();
    let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.config.digest"], id);
    assert_eq!(metadata["image.name"], name);
    assert!(archive.metadata().unwrap().len() > 10_000);

    // Another repository takes the layers from the first; the digest is that of the build.
    let other = registry.name("other/app:2");
    let pushed = farm.command(&["push", &name, &other]).run().expect(0);
    assert!(pushed.log.contains("3 mounted"), "{}", pushed.log);
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    assert_eq!(pushed.stdout.trim(), format!("{other}@{digest}"));

    let _removed = farm.command(&["rmi", &name]).run().expect(0);
    let _pulled = farm.command(&["pull", &other]).run().expect(0);
    let ran = farm.command(&["run", &other]).run().expect(0);
    assert_eq!(ran.stdout, "from the context\n");
    // What was pulled leaves as it came.
    let third = registry.name("third/app:3");
    let pushed = farm.command(&["push", &other, &third]).run().expect(0);
    assert_eq!(pushed.stdout.trim(), format!("{third}@{digest}"));
}

#[test]
fn an_image_is_saved_and_loaded() {
    let farm = Farm::new();
    let archive = farm.scratch("image.tar");
    let (file, context) = (archive.to_str().unwrap(), context());
    let _built = farm.command(&["build", "-t", "shop:1", context.path().to_str().unwrap()]).run().expect(0);
    let _saved = farm.command(&["save", "shop:1", "-o", file]).run().expect(0);
    let _removed = farm.command(&["rmi", "shop:1"]).run().expect(0);
    let loaded = farm.command(&["load", "-i", file]).run().expect(0);
    assert_eq!(loaded.stdout, "loaded shop:1\n");
    assert_eq!(farm.command(&["run", "shop:1"]).run().expect(0).stdout, "from the context\n");
    // A stage builds on it.
    let above = Context::new("FROM shop:1\nRUN cat /made /f > /both\n");
    assert_eq!(farm.build(above.path()).run().expect(0).files().text("both"), "made\nfrom the context\n");

    let mut half = std::fs::read(&archive).unwrap();
    half.truncate(half.len() / 2);
    let outcome = farm.command(&["load"]).stdin(half).run();
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    let missing = farm.scratch("missing.tar");
    let outcome = farm.command(&["save", "nosuch", "-o", missing.to_str().unwrap()]).run();
    assert_ne!(outcome.status, Some(0), "{}", outcome.log);
    assert!(!missing.exists());
}

#[test]
fn what_cannot_be_pushed_is_said() {
    let farm = Farm::new();
    let context = context();
    let path = context.path().to_str().unwrap();
    let _nameless = farm.command(&["build", "--push", path]).run().expect(2).says(&["no name", "--tag"]);
    let _nobody = farm
        .command(&["build", "-t", "127.0.0.1:9/a:1", "--push", path])
        .run()
        .expect(3)
        .says(&["push `127.0.0.1:9/a:1`", "connection failed"]);
    let _unknown = farm.command(&["push", "nosuch"]).run().expect(2).says(&["nosuch"]);
}
