//! The choice of what isolates steps: equal results, and errors that name the setting.

use std::os::unix::fs::PermissionsExt;

use farm_tests::context::Context;
use farm_tests::farm::{Farm, Outcome};
use farm_tests::topology::Topology;

/// Whatever a step can leave in a layer, and whatever it can see while it runs.
const MANY_THINGS: &str = r#"FROM debian AS tools
RUN printf '#!/bin/sh\necho tool\n' > /usr/local/bin/tool && chmod 4755 /usr/local/bin/tool
FROM debian
SHELL ["/bin/sh", "-euc"]
ENV GREETING="hello world"
COPY --chmod=640 --chown=7:8 context /srv/context
COPY --from=tools /usr/local/bin/tool /usr/local/bin/
RUN ln -s ../srv/context /opt/link; ln /srv/context/file /srv/hard; mkfifo /srv/pipe; mknod /srv/null c 1 3
RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/scratch,size=1m <<EOF
  echo kept > /cache/file; echo gone > /scratch/file
  df -k /scratch /dev/shm | awk '{ print $2 }' > /sizes
  rm -rf /srv/context/dir; mkdir /srv/context/dir; echo new > /srv/context/dir/new
  rm /srv/hard; chmod 1777 /opt; touch -d @5 /opt/link/file
EOF
RUN --mount=type=secret,id=s,mode=0440,uid=5 --mount=type=bind,target=/ctx,source=context \
    stat -c '%a %u' /run/secrets/s > /seen; wc -c < /run/secrets/s >> /seen; ls /ctx >> /seen
RUN --mount=type=cache,target=/cache cat /cache/file > /from-cache
RUN --network=none cat /proc/net/dev | wc -l > /interfaces; ls /dev > /devices; ls -d /proc/[0-9]* | wc -l > /processes
RUN perl <<'EOF'
  require "syscall.ph";
  my ($file, $note, $value) = ("/srv/context/file", "user.note", "x");
  syscall(&SYS_setxattr, $file, $note, $value, length $value, 0) == 0 or die "no attribute: $!";
  my ($tool, $name, $capability) = ("/usr/local/bin/tool", "security.capability", pack("V5", 0x02000001, 1 << 13, 0, 0, 0));
  syscall(&SYS_setxattr, $tool, $name, $capability, length $capability, 0) == 0 or die "no capability: $!";
EOF
RUN grep -E '^(Cap|NoNew|Seccomp:|SigIgn|Groups)' /proc/self/status > /status; ulimit -n >> /status; umask >> /status; env | sort > /environment
USER 1000:1001
WORKDIR /home/somebody
RUN id -u > /tmp/id; id -G >> /tmp/id; pwd >> /tmp/id; echo out > /dev/stdout; cat /proc/self/status | grep Cap >> /tmp/id
RUN tool > /tmp/tool; hostname > /tmp/hostname; wc -l < /etc/resolv.conf > /tmp/resolv
"#;

fn context() -> Context {
    Context::new(MANY_THINGS).file("context/file", "content\n").file("context/dir/old", "old\n")
}

/// Builds in a farm of its own.
fn build(configuration: &str, context: &Context) -> (Farm, Outcome) {
    let farm = Farm::of(Topology::Daemon).with_configuration(configuration);
    let secret = farm.scratch("secret");
    std::fs::write(&secret, "sesame").unwrap();
    let archive = farm.scratch("image.tar");
    let output = format!("type=oci,dest={},rewrite-timestamp=true", archive.display());
    let path = context.path().to_str().unwrap();
    let secret = format!("id=s,src={}", secret.display());
    let outcome = farm
        .command(&["build", "--progress", "plain", "--secret", &secret, "--output", &output, path])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .run();
    (farm, outcome)
}

#[test]
fn both_executors_make_the_same_image_of_many_things() {
    let context = context();
    let archives = ["native", "oci"].map(|runtime| {
        let (farm, outcome) = build(&format!("runtime = \"{runtime}\"\n"), &context);
        let _built = outcome.expect(0);
        std::fs::read(farm.scratch("image.tar")).unwrap()
    });
    if archives[0] != archives[1] {
        let folder = std::env::temp_dir().join("farm-two-executors");
        std::fs::create_dir_all(&folder).unwrap();
        for (bytes, name) in archives.iter().zip(["native.tar", "oci.tar"]) {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        panic!("the images differ: compare the two in {}", folder.display());
    }
}

#[test]
fn a_runtime_that_is_not_there_is_an_error_that_names_the_setting() {
    for (runtime, words) in
        [("no-such-runtime", "`no-such-runtime`"), ("/nonexistent/runc", "`/nonexistent/runc`")]
    {
        let configuration = format!("runtime = \"oci\"\noci-runtime = \"{runtime}\"\n");
        let (_farm, outcome) = build(&configuration, &Context::new("FROM busybox\nRUN true\n"));
        let _told = outcome.expect(3).says(&[words, "oci-runtime"]);
    }
}

#[test]
fn a_runtime_that_fails_is_not_the_fault_of_the_step() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("runtime");
    std::fs::write(&program, "#!/bin/sh\necho broken >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let configuration = format!("runtime = \"oci\"\noci-runtime = \"{}\"\n", program.display());
    let (_farm, outcome) = build(&configuration, &Context::new("FROM busybox\nRUN true\n"));
    let _told = outcome.expect(3).says(&["OCI runtime", "`create` failed", "oci-runtime"]);
}

#[test]
fn a_command_and_a_working_directory_that_are_missing_are_told_alike() {
    let dockerfile = "FROM busybox\nRUN [\"no-such-program\"]\n";
    let logs = ["native", "oci"].map(|runtime| {
        let (_farm, outcome) = build(&format!("runtime = \"{runtime}\"\n"), &Context::new(dockerfile));
        let log = outcome.expect(1).says(&["no-such-program: command not found", "127"]).log;
        log.lines().filter(|line| line.contains("no-such-program")).map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(logs[0].len(), logs[1].len());
}
