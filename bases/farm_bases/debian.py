"""How a base is made from Debian packages: by mmdebstrap, and as a layer on top of the `debian` base."""

import os
import shutil
import subprocess

from . import host
from .layout import EPOCH, difference, tar_of

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a slim image has no use for.
DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt", "var/log")


def debian_tar(work):
    return bootstrap(work, "debian", ["ca-certificates"], lambda root: None)


def debian_config():
    return {"Env": [f"PATH={PATH}"], "Cmd": ["bash"]}


def layer_above(work, lower, name, packages, finish):
    """A Debian with `packages` as a layer on top of the debian base, so that the two share what they have in common."""
    return difference(lower, bootstrap(work, name, ["ca-certificates", *packages], finish))


def bootstrap(work, name, packages, finish):
    """The tar of a minimal Debian with `packages`, made below `work` unless it was before."""
    tar = work / f"{name}.tar"
    if tar.exists():
        return tar.read_bytes()
    root = work / f"{name}-root"
    shutil.rmtree(root, ignore_errors=True)
    sources, settings = work / "debian.sources", work / "apt.conf"
    sources.write_text(host.package_sources())
    settings.write_text(host.apt_settings())
    command = ["mmdebstrap", "--variant=minbase", "--quiet", f"--include={','.join(packages)}",
               *([f"--aptopt={settings}"] if settings.stat().st_size else []), host.CODENAME, str(root), str(sources)]
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)})
    adapt(root)
    finish(root)
    data = tar_of(root)
    partial = tar.with_suffix(".partial")
    partial.write_bytes(data)
    partial.rename(tar)
    shutil.rmtree(root)
    return data


def adapt(root):
    """Takes out what is this machine's or this minute's, puts in what fetching packages needs."""
    for file in (root / "etc/apt/sources.list", root / "etc/apt/sources.list.d/0000debian.sources"):
        file.unlink(missing_ok=True)
    (root / "etc/apt/sources.list.d/debian.sources").write_text(host.package_sources())
    for name, data in host.certificates():
        (root / "usr/local/share/ca-certificates" / name).write_bytes(data)
    subprocess.run(["chroot", root, "update-ca-certificates"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for path in DROPPED:
        directory = root / path
        for child in directory.iterdir() if directory.is_dir() else []:
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    # apt recreates its own directories only in part.
    for path in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / path).mkdir(parents=True, exist_ok=True)
    (root / "var/cache/ldconfig/aux-cache").unlink(missing_ok=True)
    for path in ("etc/resolv.conf", "etc/hostname", "etc/machine-id"):
        if (root / path).exists():
            (root / path).write_text("")
