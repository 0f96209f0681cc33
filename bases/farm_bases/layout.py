"""Reproducible layer tars and OCI layouts: fixed times, sorted entries, numeric owners."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

EPOCH = 1767225600
CREATED = "2026-01-01T00:00:00Z"
MEDIA = "application/vnd.oci.image."


class LayerTar:
    """Writes one layer. Entries appear in the order of the calls, parents first."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def entry(self, path, kind, mode, owner=(0, 0), data=b"", link=""):
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.mtime, info.linkname = kind, mode, EPOCH, link
        info.uid, info.gid = owner
        info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data) if data else None)

    def directory(self, path, mode=0o755, owner=(0, 0)):
        self.entry(path, tarfile.DIRTYPE, mode, owner)

    def file(self, path, data, mode=0o644, owner=(0, 0)):
        self.entry(path, tarfile.REGTYPE, mode, owner, data if isinstance(data, bytes) else data.encode())

    def hard_link(self, path, target):
        self.entry(path, tarfile.LNKTYPE, 0o755, link=target)

    def symlink(self, path, target):
        self.entry(path, tarfile.SYMTYPE, 0o777, link=target)

    def close(self):
        self.tar.close()
        return self.buffer.getvalue()


def tar_of(root):
    """A directory as a layer tar, made by GNU tar because it keeps xattrs and hard links."""
    command = ["tar", "--sort=name", f"--mtime=@{EPOCH}", "--numeric-owner", "--format=pax",
               "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--xattrs",
               "-C", str(root), "-c", "."]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def difference(lower, upper):
    """The entries of the tar `upper` that `lower` lacks or holds differently, as a tar that goes on top of it."""
    known = {name: key for name, key, _ in keyed(lower)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, key, (member, data) in keyed(upper):
            if known.pop(name, None) != key:
                tar.addfile(member, io.BytesIO(data) if data else None)
        for name in sorted(known):
            parent, _, base = name.rpartition("/")
            if parent not in known:
                info = tarfile.TarInfo(f"{parent}/.wh.{base}" if parent else f".wh.{base}")
                info.mtime = EPOCH
                tar.addfile(info)
    return out.getvalue()


def keyed(data):
    tar = tarfile.open(fileobj=io.BytesIO(data))
    for member in tar:
        name = member.name.removeprefix("./").strip("/")
        if name in ("", "."):
            continue
        body = tar.extractfile(member).read() if member.isreg() else b""
        # A changed file's hard link is named like an unchanged one, so its target's bytes have to be in the key.
        target = tar.extractfile(member).read() if member.islnk() else b""
        key = (member.type, member.mode, member.uid, member.gid, member.linkname, member.devmajor, member.devminor,
               tuple(sorted(member.pax_headers.items())), hashlib.sha256(body + target).digest())
        yield name, key, (member, body)


def write_layout(path, layers, config, tag, architecture):
    """An OCI layout with one image. `layers` are uncompressed tars, lowest first."""
    path = pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)
    (path / "blobs/sha256").mkdir(parents=True)

    def put(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": MEDIA + kind, "digest": "sha256:" + digest, "size": len(data)}

    packed = [put(compress(layer), "layer.v1.tar+gzip") for layer in layers]
    image = {
        "created": CREATED, "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]},
        "history": [{"created": CREATED, "created_by": f"bases/make {tag}"} for _ in layers],
    }
    manifest = {"schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json",
                "config": put(encoded(image), "config.v1+json"), "layers": packed}
    entry = put(encoded(manifest), "manifest.v1+json")
    entry["platform"] = {"os": "linux", "architecture": architecture}
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": [entry]}
    (path / "index.json").write_bytes(encoded(index))
    (path / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))


def compress(data):
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, out, mtime=0) as stream:
        stream.write(data)
    return out.getvalue()


def encoded(value):
    return json.dumps(value, separators=(",", ":")).encode()


def settle(temporary, final):
    """Gives a finished directory its name; a half-made one is never seen under it."""
    os.sync()
    os.rename(temporary, final)
