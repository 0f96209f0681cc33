"""What the bases take over from this machine: package sources, apt settings, CA certificates.

Only entries of Debian's own suites are taken: a third party's repository would need its key in the image too. Credentials
(`auth.conf.d`) are never taken, because a base is readable by every build.
"""

import os
import pathlib
import re

CODENAME = "bookworm"
CERTIFICATES = pathlib.Path("/usr/local/share/ca-certificates")
# Settings that decide whether packages can be fetched from here at all.
NEEDED_SETTING = re.compile(r"Acquire::(https?|Check-Valid-Until|Check-Date|Retries|ForceIPv4)\b", re.IGNORECASE)
FALLBACK = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def require_debian():
    """Ends with a sentence when this is not a Debian 12 that we may change as root."""
    if os.geteuid() != 0:
        raise SystemExit("error: the bases are made with mmdebstrap and chroot: run this as root")
    release = pathlib.Path("/etc/os-release").read_text() if os.path.exists("/etc/os-release") else ""
    if f"VERSION_CODENAME={CODENAME}" not in release:
        raise SystemExit(f"error: the bases are made from the packages of Debian 12 ({CODENAME}), which this is not")


def package_sources(apt=pathlib.Path("/etc/apt")):
    """The Debian entries of this host, as the text of one deb822 file."""
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))]
    stanzas = []
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".sources":
            stanzas += deb822_stanzas(text)
        elif file.suffix == ".list":
            stanzas += one_line_stanzas(text)
    return "\n".join(stanzas) or FALLBACK


def deb822_stanzas(text):
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        fields = {key.strip().lower(): value.split() for key, _, value in (line.partition(":") for line in lines)}
        if fields.get("enabled", ["yes"])[0].lower() == "no" or "deb" not in fields.get("types", []):
            continue
        if ours(fields.get("suites", []), fields.get("components", [])):
            found.append(re.sub(r"(?im)^Types:.*$", "Types: deb", "\n".join(lines)) + "\n")
    return found


def one_line_stanzas(text):
    found = []
    for line in text.splitlines():
        entry = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+?)\s*(?:#.*)?$", line.strip())
        if not entry:
            continue
        options, uri, suite, components = entry.groups()
        if not ours([suite], components.split()):
            continue
        key = re.search(r"signed-by=(\S+)", options or "")
        key = key.group(1) if key else "/usr/share/keyrings/debian-archive-keyring.gpg"
        found.append(f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}\nSigned-By: {key}\n")
    return found


def ours(suites, components):
    return bool(suites) and all(s.startswith(CODENAME) for s in suites) and "main" in components


def apt_settings(directory=pathlib.Path("/etc/apt/apt.conf.d")):
    """The apt settings without which fetching may fail: proxies, certificates, checks of dates."""
    texts = []
    for file in sorted(directory.glob("*")) if directory.is_dir() else []:
        text = file.read_text(errors="replace") if file.is_file() else ""
        texts += [line.strip() for line in text.splitlines() if NEEDED_SETTING.match(line.strip())]
    return "".join(line + "\n" for line in texts)


def certificates():
    """The CA certificates that were added to this host: name and bytes."""
    return [(file.name, file.read_bytes()) for file in sorted(CERTIFICATES.glob("*.crt"))]


def fingerprint_parts():
    """Everything on this host that ends up inside a base, for the cache key."""
    yield package_sources().encode()
    yield apt_settings().encode()
    for name, data in certificates():
        yield name.encode()
        yield data
