//! What a command cannot see or do.

use std::fs;
use std::process::Command;

use crate::Test;
use crate::support::{Holdings, World};

pub(crate) const TESTS: &[Test] = &[
    ("changes_go_to_the_upper_directory_only", changes_go_to_the_upper_directory_only),
    ("the_filter_is_active", the_filter_is_active),
    ("docker_hides_the_same_paths", docker_hides_the_same_paths),
    ("kernel_parameters_cannot_be_written", kernel_parameters_cannot_be_written),
    ("no_descriptor_of_the_host_is_inherited", no_descriptor_of_the_host_is_inherited),
    ("only_the_containers_processes_are_seen", only_the_containers_processes_are_seen),
    ("the_init_cannot_be_looked_into_or_killed", the_init_cannot_be_looked_into_or_killed),
    ("devices_are_those_of_docker", devices_are_those_of_docker),
    ("devices_of_the_host_cannot_be_opened", devices_of_the_host_cannot_be_opened),
    ("there_is_no_terminal", there_is_no_terminal),
    ("nothing_is_left_behind", nothing_is_left_behind),
    ("programs_of_32_bits_run_under_the_same_filter", programs_of_32_bits),
];

fn changes_go_to_the_upper_directory_only() {
    let world = World::new();
    let ran = world.run(&world.shell("echo hi > /out; rm /etc/group; mkdir -p /new/dir")).unwrap();
    assert_eq!(fs::read_to_string(ran.upper.join("out")).unwrap(), "hi\n");
    assert!(ran.upper.join("new/dir").is_dir());
    assert!(world.image().join("etc/group").exists() && !world.image().join("out").exists());
    let mut names: Vec<_> =
        fs::read_dir(&ran.upper).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["etc", "new", "out"], "mounts leave nothing in the upper directory");
}

fn the_filter_is_active() {
    let output = World::new().output(
        "unshare -U true 2>&1 | grep -c 'not permitted'; mount -t tmpfs x /mnt 2>&1 | grep -c -i 'denied\\|permitted'; \
         chroot / true && echo chroot; grep Seccomp: /proc/self/status",
    );
    assert_eq!(output, "1\n1\nchroot\nSeccomp:\t2\n");
}

fn docker_hides_the_same_paths() {
    let output = World::new().output(
        "for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do [ ! -e $f ] || [ -c $f ] || echo seen $f; done; \
         for d in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap; do \
         [ -z \"$(ls $d 2>/dev/null)\" ] || echo seen $d; done; \
         for d in /proc/acpi /sys/firmware; do if touch $d/x 2>/dev/null; then echo written $d; fi; done; echo done",
    );
    assert_eq!(output, "done\n");
}

fn kernel_parameters_cannot_be_written() {
    let output = World::new().output(
        "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/mm/ksm/run /proc/sys/net/ipv4/ip_forward; do \
         if [ -e $f ] && { echo 0 > $f; } 2>/dev/null; then echo written $f; fi; done; \
         cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/net/ipv4/ping_group_range",
    );
    assert_eq!(output, "0\n0\t2147483647\n");
}

fn no_descriptor_of_the_host_is_inherited() {
    let output = World::new().output("ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> /\\1 /p'");
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("0 /dev/null"));
    assert!(lines.next().unwrap().starts_with("1 pipe:") && lines.next().unwrap().starts_with("2 pipe:"));
    // The directory that ls itself read is closed by now.
    assert_eq!(lines.next(), None);
}

fn only_the_containers_processes_are_seen() {
    let output = World::new().output("ls -d /proc/[0-9]* | wc -l; cat /proc/1/environ | wc -c");
    let count: usize = output.lines().next().unwrap().parse().unwrap();
    assert!(count <= 4, "{output}");
}

fn the_init_cannot_be_looked_into_or_killed() {
    let output = World::new().output(
        "readlink /proc/1/exe || echo hidden; ls -l /proc/1/fd 2>/dev/null | grep -c -e '->'; cat /proc/1/mem 2>/dev/null | wc -c; \
         kill -9 1; kill -TERM 1; echo alive",
    );
    assert_eq!(output, "hidden\n0\n0\nalive\n");
}

fn devices_are_those_of_docker() {
    let output = World::new().output(
        "ls /dev | tr '\\n' ' '; echo; head -c 4 /dev/zero | wc -c; echo x > /dev/null && echo null; \
         head -c 5 /dev/urandom | wc -c; echo x > /dev/full || echo full; ls -ld /dev/shm | cut -c1-10; echo > /dev/shm/x && echo shm",
    );
    let core = if std::path::Path::new("/proc/kcore").exists() { "core " } else { "" };
    let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero \n\
                    4\nnull\n5\nfull\ndrwxrwxrwt\nshm\n";
    assert_eq!(output, format!("{core}{expected}"));
}

fn devices_of_the_host_cannot_be_opened() {
    let output = World::new().output(
        "mknod /tmp/kmsg c 1 11 && mknod /tmp/null c 1 3 && echo made; cat /tmp/kmsg 2>&1 | grep -c 'not permitted'; \
         echo x > /tmp/null && echo null",
    );
    if std::path::Path::new("/sys/fs/cgroup/devices").exists() {
        assert_eq!(output, "made\n1\nnull\n");
    } else {
        assert!(!output.ends_with("null\n"), "{output}");
    }
}

fn there_is_no_terminal() {
    let output = World::new().output("tty; cat; (cat < /dev/tty) 2>&1 | grep -c 'No such device'");
    assert!(output.ends_with("\n1\n"), "{output}");
}

fn nothing_is_left_behind() {
    let before = Holdings::of_these_tests();
    {
        let world = World::new();
        world.output("true");
        let _failed = world.run(&world.shell("mkdir /a; exit 3")).unwrap();
        let mut broken = world.shell("true");
        broken.cwd = "/nowhere".to_owned();
        world.run(&broken).unwrap_err();
        let run = world.dir.path().join("run/containers");
        assert_eq!(fs::read_dir(run).unwrap().count(), 0);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(world.dir.path().to_str().unwrap()), "{mounts}");
    }
    assert_eq!(Holdings::of_these_tests(), before);
}

/// Compiles a 32-bit program where the compiler can.
fn programs_of_32_bits() {
    let world = World::new();
    let source = world.dir.path().join("old.c");
    // Without a C library: write(1, "old\n", 4); keyctl(..) must fail with EPERM; exit.
    fs::write(
        &source,
        "static int call(int n,int a,int b,int c){int r;__asm__ volatile(\"int $0x80\":\"=a\"(r):\"a\"(n),\"b\"(a),\"c\"(b),\"d\"(c):\"memory\");return r;}\n\
         void _start(void){call(4,1,(int)\"old\\n\",4);call(1,call(288,0,0,0)==-1?7:8,0,0);}\n",
    )
    .unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-m32", "-static", "-nostdlib", "-fno-pie", "-no-pie", "-o"])
        .arg(world.image().join("bin/old"))
        .arg(&source);
    if !compiler.output().is_ok_and(|output| output.status.success()) {
        println!("  (the compiler makes no 32-bit programs: not checked)");
        return;
    }
    let ran = world.run(&world.shell("/bin/old")).unwrap();
    assert_eq!((ran.stdout.as_str(), ran.outcome.exit), ("old\n", farm_executor::Exit::Code(7)));
}
