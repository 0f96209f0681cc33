//! The mounts of a step.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;

use farm_executor::{Access, Blame, Container, Exit, Mount, MountKind, OverlayAccess, Secret, User};

use crate::Test;
use crate::support::World;

pub(crate) const TESTS: &[Test] = &[
    ("two_hundred_layers_mount", two_hundred_layers_mount),
    ("bind_mounts_are_as_writable_as_asked", bind_mounts_are_as_writable_as_asked),
    ("a_file_can_be_bound_over_a_missing_target", a_file_can_be_bound_over_a_missing_target),
    ("an_overlay_mount_shows_a_subpath_and_forgets_writes", overlay_mount),
    ("a_read_only_overlay_mount_refuses_writes", read_only_overlay_mount),
    ("a_tmpfs_has_its_size_and_mode", a_tmpfs_has_its_size_and_mode),
    ("a_secret_is_read_by_its_owner_and_reaches_no_disk", secrets),
    ("a_socket_is_forwarded_to_another_user", a_socket_is_forwarded_to_another_user),
    ("a_symlink_in_the_image_cannot_lead_a_mount_outside", symlinked_target),
    ("a_symlink_in_a_mounts_source_stays_inside_it", symlinked_subpath),
    ("proc_as_a_symlink_is_refused", proc_as_a_symlink_is_refused),
    ("mount_targets_that_make_no_sense_are_refused", bad_targets),
    ("hosts_and_resolv_conf_are_there_and_not_kept", generated_files),
    ("mounts_apply_in_order", mounts_apply_in_order),
];

fn with_mounts(world: &World, script: &str, mounts: Vec<(&str, MountKind)>) -> Container {
    let mut container = world.shell(script);
    container.mounts =
        mounts.into_iter().map(|(target, kind)| Mount { target: target.to_owned(), kind }).collect();
    container
}

fn bind(source: PathBuf, access: Access) -> MountKind {
    MountKind::Bind { source, access }
}

fn two_hundred_layers_mount() {
    let world = World::new();
    let mut container = world.shell("cat /mnt/layer; ls /mnt | wc -l");
    let layers = (0..200).rev().map(|number| {
        let layer = world.directory(&format!("layer-with-a-name-that-is-rather-long-{number:040}"));
        fs::create_dir(layer.join("mnt")).unwrap();
        fs::write(layer.join("mnt/layer"), format!("{number}\n")).unwrap();
        fs::write(layer.join(format!("mnt/file{number}")), "").unwrap();
        layer
    });
    container.lowers = layers.chain([world.image()]).collect();
    assert_eq!(world.run(&container).unwrap().ok(), "199\n201\n");
}

fn bind_mounts_are_as_writable_as_asked() {
    let world = World::new();
    let source = world.directory("source");
    fs::write(source.join("file"), "content\n").unwrap();
    let mounts = vec![
        ("/mnt/ro", bind(source.clone(), Access::ReadOnly)),
        ("/mnt/rw", bind(source.clone(), Access::ReadWrite)),
    ];
    let script = "cat /mnt/ro/file; touch /mnt/ro/no 2>&1 | grep -c 'Read-only'; echo new > /mnt/rw/yes";
    assert_eq!(world.run(&with_mounts(&world, script, mounts)).unwrap().ok(), "content\n1\n");
    assert_eq!(fs::read_to_string(source.join("yes")).unwrap(), "new\n");
}

fn a_file_can_be_bound_over_a_missing_target() {
    let world = World::new();
    let source = world.dir.path().join("one-file");
    fs::write(&source, "one\n").unwrap();
    let mounts = vec![("/deep/er/file", bind(source, Access::ReadOnly))];
    assert_eq!(world.run(&with_mounts(&world, "cat /deep/er/file", mounts)).unwrap().ok(), "one\n");
}

fn overlay_mount() {
    let world = World::new();
    let (top, bottom) = (world.directory("top"), world.directory("bottom"));
    fs::create_dir_all(top.join("sub")).unwrap();
    fs::create_dir_all(bottom.join("sub")).unwrap();
    fs::write(top.join("sub/a"), "top\n").unwrap();
    fs::write(bottom.join("sub/a"), "bottom\n").unwrap();
    fs::write(bottom.join("sub/b"), "b\n").unwrap();
    let access =
        OverlayAccess::Discard { upper: world.directory("discard"), work: world.directory("discard-work") };
    let kind = MountKind::Overlay { lowers: vec![top, bottom.clone()], subpath: "sub".to_owned(), access };
    let script = "cat /mnt/a /mnt/b; echo changed > /mnt/b; cat /mnt/b; ls /mnt | wc -l";
    let output = world.run(&with_mounts(&world, script, vec![("/mnt", kind)])).unwrap().ok();
    assert_eq!(output, "top\nb\nchanged\n2\n");
    assert_eq!(fs::read_to_string(bottom.join("sub/b")).unwrap(), "b\n");
}

fn read_only_overlay_mount() {
    let world = World::new();
    let (top, bottom) = (world.directory("top"), world.directory("bottom"));
    fs::write(top.join("a"), "a\n").unwrap();
    fs::write(bottom.join("b"), "b\n").unwrap();
    for lowers in [vec![bottom.clone()], vec![top, bottom]] {
        let kind = MountKind::Overlay {
            lowers: lowers.clone(),
            subpath: String::new(),
            access: OverlayAccess::ReadOnly,
        };
        let file = MountKind::Overlay { lowers, subpath: "/b".to_owned(), access: OverlayAccess::ReadOnly };
        let script = "cat /mnt/b /file; touch /mnt/x 2>&1 | grep -c Read-only";
        let output =
            world.run(&with_mounts(&world, script, vec![("/mnt", kind), ("/file", file)])).unwrap().ok();
        assert_eq!(output, "b\nb\n1\n");
    }
}

fn a_tmpfs_has_its_size_and_mode() {
    let world = World::new();
    let mounts = vec![("/mnt", MountKind::Tmpfs { size: Some(1 << 20), mode: 0o1777 })];
    let script = "stat -c %a /mnt; head -c 2m /dev/zero > /mnt/big 2>/dev/null || stat -c %s /mnt/big; df /tmp | tail -1 | cut -d' ' -f1";
    let output = world.run(&with_mounts(&world, script, mounts)).unwrap().ok();
    assert_eq!(output, "1777\n1048576\noverlay\n");
}

fn secrets() {
    let world = World::new();
    let value = b"s3cr\0t-and-binary\xff".to_vec();
    let secret = |mode, uid| MountKind::SecretFile { bytes: Secret(value.clone()), mode, uid, gid: uid };
    let mounts = vec![("/run/secrets/mine", secret(0o400, 1000)), ("/run/secrets/other", secret(0o400, 0))];
    let script = "stat -c '%a %u %g %s' /run/secrets/mine; md5sum < /run/secrets/mine; cat /run/secrets/other 2>&1 | grep -c denied; \
                  grep /run/secrets/mine /proc/mounts | cut -d' ' -f3";
    let mut container = with_mounts(&world, script, mounts);
    container.user = User { uid: 1000, gid: 1000, groups: Vec::new() };
    assert!(!format!("{container:?}").contains("s3cr"));
    let ran = world.run(&container).unwrap();
    let upper = ran.upper.clone();
    let output = ran.ok();
    assert!(output.starts_with("400 1000 1000 18\n") && output.ends_with("-\n1\nramfs\n"), "{output}");
    let left = fs::read(upper.join("run/secrets/mine")).unwrap();
    assert!(left.is_empty(), "only an empty mount point is left");
}

fn a_socket_is_forwarded_to_another_user() {
    let world = World::new();
    let source = world.dir.path().join("agent");
    let listener = UnixListener::bind(&source).unwrap();
    let agent = std::thread::spawn(move || {
        // The first connection only asks whether somebody listens.
        drop(listener.accept().unwrap());
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = [0; 5];
        connection.read_exact(&mut request).unwrap();
        connection.write_all(b"pong\n").unwrap();
        request
    });
    let mounts = vec![("/run/agent", MountKind::UnixSocket { source, mode: 0o600, uid: 1000, gid: 1000 })];
    let mut container = with_mounts(&world, "stat -c '%a %u' /run/agent; /client connect /run/agent", mounts);
    host_program(&mut container, "/client");
    container.user = User { uid: 1000, gid: 1000, groups: Vec::new() };
    let output = world.run(&container).unwrap();
    assert_eq!(output.stdout, "600 1000\npong\n", "{output:?}");
    assert_eq!(&agent.join().unwrap(), b"ping\n");
}

/// Makes this very program available in a container, with the libraries that it needs.
fn host_program(container: &mut Container, target: &str) {
    let program = std::env::current_exe().unwrap();
    let directories =
        ["/lib", "/lib64", "/usr/lib"].map(PathBuf::from).into_iter().filter(|path| path.is_dir());
    for (target, source) in directories
        .map(|path| (path.to_str().unwrap().to_owned(), path))
        .chain([(target.to_owned(), program)])
    {
        container.mounts.push(Mount { target, kind: bind(source, Access::ReadOnly) });
    }
}

/// What this program does inside a container: talks to a socket.
pub(crate) fn client(arguments: &[String]) -> Option<ExitCode> {
    let [_, command, path] = arguments else { return None };
    if command != "connect" {
        return None;
    }
    let mut connection = UnixStream::connect(path).expect("the socket answers");
    connection.write_all(b"ping\n").expect("it listens");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it speaks text");
    print!("{answer}");
    Some(ExitCode::SUCCESS)
}

fn symlinked_target() {
    let world = World::new();
    let outside = world.directory("outside");
    fs::write(outside.join("host"), "").unwrap();
    let absolute = outside.to_str().unwrap().to_owned();
    symlink(&absolute, world.image().join("escape")).unwrap();
    symlink("../../../../../../..", world.image().join("up")).unwrap();
    let source = world.directory("source");
    fs::write(source.join("mounted"), "").unwrap();
    let through = format!("/up{absolute}/down");
    let mounts = vec![(through.as_str(), bind(source.clone(), Access::ReadOnly))];
    let ran = world.run(&with_mounts(&world, &format!("ls {absolute}/down"), mounts)).unwrap();
    assert_eq!(ran.ok(), "mounted\n");
    // The link dangles inside the container; nothing may appear where it points to outside.
    let mounts = vec![("/escape/here", bind(source, Access::ReadOnly))];
    let error = world.run(&with_mounts(&world, "true", mounts)).unwrap_err();
    assert_eq!(error.blame(), Blame::User, "{error}");
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["host"]);
}

fn symlinked_subpath() {
    let world = World::new();
    let layer = world.directory("layer");
    fs::create_dir(layer.join("etc")).unwrap();
    fs::write(layer.join("etc/hostname"), "of the layer\n").unwrap();
    symlink("/etc", layer.join("link")).unwrap();
    for lowers in [vec![layer.clone()], vec![layer, world.directory("empty")]] {
        let kind = MountKind::Overlay {
            lowers,
            subpath: "link/hostname".to_owned(),
            access: OverlayAccess::ReadOnly,
        };
        let output =
            world.run(&with_mounts(&world, "cat /mnt/file", vec![("/mnt/file", kind)])).unwrap().ok();
        assert_eq!(output, "of the layer\n");
    }
}

fn proc_as_a_symlink_is_refused() {
    let world = World::new();
    fs::remove_dir(world.image().join("proc")).unwrap();
    symlink("/tmp", world.image().join("proc")).unwrap();
    let error = world.run(&world.shell("true")).unwrap_err();
    assert_eq!(error.blame(), Blame::User, "{error}");
}

fn bad_targets() {
    let world = World::new();
    for target in ["/", "//.", "relative", "/a/../../b", "/proc/self", "/proc"] {
        let mounts = vec![(target, MountKind::Tmpfs { size: None, mode: 0o755 })];
        let error = world.run(&with_mounts(&world, "true", mounts)).unwrap_err();
        assert_eq!(error.blame(), Blame::User, "{target}: {error}");
    }
    let mounts = vec![("/etc/passwd", MountKind::Tmpfs { size: None, mode: 0o755 })];
    let error = world.run(&with_mounts(&world, "true", mounts)).unwrap_err();
    assert!(error.blame() == Blame::User && error.to_string().contains("/etc/passwd"), "{error}");
}

fn generated_files() {
    let world = World::new();
    let mut container = world
        .shell("cat /etc/hosts /etc/resolv.conf; echo 10.0.0.1 more >> /etc/hosts && tail -1 /etc/hosts");
    container.user = User { uid: 0, gid: 0, groups: Vec::new() };
    let ran = world.run(&container).unwrap();
    assert!(!ran.upper.join("etc/hosts").exists());
    assert_eq!(ran.ok(), "127.0.0.1\tlocalhost\nnameserver 192.0.2.1\n10.0.0.1 more\n");
}

fn mounts_apply_in_order() {
    let world = World::new();
    let source = world.directory("source");
    fs::write(source.join("file"), "file\n").unwrap();
    let mounts = vec![
        ("/mnt", MountKind::Tmpfs { size: None, mode: 0o755 }),
        ("/mnt/inner", bind(source, Access::ReadOnly)),
    ];
    let ran = world.run(&with_mounts(&world, "cat /mnt/inner/file", mounts)).unwrap();
    assert_eq!((ran.outcome.exit, ran.stdout.as_str()), (Exit::Code(0), "file\n"));
    assert!(!ran.upper.join("mnt/inner").exists(), "the target was made in the tmpfs");
}
