"""The `busybox` and the `alpine`-like base: one static busybox, a link for each applet, and the few files of /etc.

busybox is compiled from Debian's source package in its default configuration, because Debian's own static binary lacks
some applets that Dockerfiles use (`adduser`, `addgroup`).
"""

import os
import pathlib
import shutil
import subprocess

from . import host
from .layout import LayerTar

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
adm:x:4:
tty:x:5:
disk:x:6:
wheel:x:10:root
mail:x:8:
www-data:x:33:
operator:x:37:
users:x:100:games
nobody:x:65534:
"""
ALPINE_RELEASE = "3.20.0"


def compile_static(work):
    """The path of a static busybox below `work`, compiled there unless it was before."""
    binary = work / "busybox.static"
    if binary.exists():
        return binary
    source = work / "busybox-source"
    shutil.rmtree(source, ignore_errors=True)
    (source / "lists/partial").mkdir(parents=True)
    entries = source / "entries.sources"
    entries.write_text(host.package_sources().replace("Types: deb\n", "Types: deb-src\n"))
    options = ["-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::Etc::sourcelist={entries}",
               "-o", f"Dir::State::Lists={source}/lists", "-o", "APT::Sandbox::User=root", "-qq"]
    run(["apt-get", *options, "update"], source)
    run(["apt-get", *options, "source", "--download-only", "busybox"], source)
    archive = next(source.glob("busybox_*.orig.tar.*"))
    run(["tar", "xf", archive.name], source)
    tree = next(path for path in source.glob("busybox-*") if path.is_dir())
    quiet(["make", "-s", "defconfig"], tree)
    configure(tree / ".config")
    quiet(["make", "-s", "oldconfig"], tree, stdin=b"\n" * 4096)
    quiet(["make", "-s", f"-j{os.cpu_count() or 1}"], tree)
    shutil.copy(tree / "busybox", binary)
    shutil.rmtree(source)
    return binary


def configure(file):
    text = file.read_text().replace("# CONFIG_STATIC is not set", "CONFIG_STATIC=y")
    # `tc` does not compile against the headers of current kernels.
    file.write_text(text.replace("CONFIG_TC=y", "# CONFIG_TC is not set"))


def run(command, directory):
    subprocess.run(command, check=True, cwd=directory)


def quiet(command, directory, stdin=b""):
    done = subprocess.run(command, cwd=directory, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SystemExit(f"error: `{' '.join(command)}` failed:\n{done.stdout.decode(errors='replace')[-2000:]}")


def applets(binary):
    listed = subprocess.run([binary, "--list-full"], check=True, stdout=subprocess.PIPE).stdout.decode().split()
    return sorted(set(listed) - {"bin/busybox", "linuxrc"})


def busybox_layer(binary):
    """Every applet is a hard link in /bin, as in the well-known image."""
    layer = LayerTar()
    for path in ("bin", "dev", "etc", "home", "lib", "root", "tmp", "usr", "usr/bin", "usr/sbin", "var", "var/spool",
                 "var/spool/mail", "var/www"):
        owner = {"home": (65534, 65534), "var/spool/mail": (8, 8), "var/www": (33, 33)}.get(path, (0, 0))
        layer.directory(path, {"root": 0o700, "tmp": 0o1777}.get(path, 0o755), owner)
    layer.file("bin/busybox", pathlib.Path(binary).read_bytes(), 0o755)
    for name in sorted({os.path.basename(path) for path in applets(binary)} - {"busybox"}):
        layer.hard_link(f"bin/{name}", "bin/busybox")
    layer.symlink("usr/bin/env", "../../bin/env")
    layer.file("etc/passwd", PASSWD)
    layer.file("etc/group", GROUP)
    layer.file("etc/shadow", "root:*:::::::\n", 0o640)
    layer.file("etc/hosts", "127.0.0.1\tlocalhost\n")
    layer.file("etc/localtime", pathlib.Path("/usr/share/zoneinfo/Etc/UTC").read_bytes())
    return layer.close(), {"Env": [PATH], "Cmd": ["sh"]}


def alpine_layer(binary):
    """Applets are symlinks where that distribution has them; there is no package manager inside."""
    layer = LayerTar()
    links = applets(binary)
    directories = {"dev", "etc", "etc/ssl", "etc/ssl/certs", "home", "lib", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys",
                   "tmp", "usr", "usr/lib", "usr/local", "usr/local/bin", "usr/share", "var", "var/cache", "var/log", "var/tmp"}
    directories |= {os.path.dirname(path) for path in links}
    for path in sorted(directories):
        layer.directory(path, {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777, "proc": 0o555, "sys": 0o555}.get(path, 0o755))
    layer.file("bin/busybox", pathlib.Path(binary).read_bytes(), 0o755)
    for path in links:
        layer.symlink(path, "/bin/busybox")
    layer.file("etc/passwd", PASSWD.replace(":/root:/bin/sh", ":/root:/bin/ash"))
    layer.file("etc/group", GROUP)
    layer.file("etc/shadow", "root:*::0:::::\n", 0o640, (0, 0))
    layer.file("etc/hosts", "127.0.0.1\tlocalhost localhost.localdomain\n")
    layer.file("etc/shells", "/bin/sh\n/bin/ash\n")
    layer.file("etc/alpine-release", ALPINE_RELEASE + "\n")
    layer.file("etc/os-release", f'NAME="Alpine-like base of farm"\nID=alpine\nVERSION_ID={ALPINE_RELEASE}\n')
    layer.file("etc/ssl/certs/ca-certificates.crt", certificate_bundle())
    return layer.close(), {"Env": [PATH], "Cmd": ["/bin/sh"]}


def certificate_bundle():
    bundle = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    return bundle.read_bytes() if bundle.exists() else b"".join(data for _, data in host.certificates())
