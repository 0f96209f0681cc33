"""Cases whose expectation holds the day on which they were recorded.

`adduser` and `passwd` write the number of the current day into /etc/shadow, and a few public cases expect the digest of such a
file as it was on one day. No builder can meet that on another day. Such a case counts as passed only if nothing else differs and
the very same file, with today's number replaced by an earlier day's, has exactly the expected digest.
"""

import hashlib
import io
import json
import os
import re
import sys
import tarfile
import tempfile
import time

FILES = ("etc/shadow", "etc/shadow-")
DAYS_BACK = 3 * 366


def passes_apart_from_the_day(material, adapter, case, outcome):
    """Whether a case that failed does so only by the day; builds it once more to see. Reads FARM_CASE_BASES."""
    if not outcome["diff"] or not all(re.match(r"rootfs /etc/shadow-?: sha256 ", line) for line in outcome["diff"]):
        return False
    sys.path.insert(0, str(material))
    import check  # noqa: PLC0415
    import run  # noqa: PLC0415
    with open(case / "expect.json") as file:
        specification = json.load(file)
    with tempfile.TemporaryDirectory() as work:
        image = os.path.join(work, "out.tar")
        request = run.mkreq(str(case), specification["build"], str(case / "context"), image)
        request.update(id=specification["id"], no_cache=not specification["build"].get("prune_before"))
        status, _log = run.call(str(adapter), request, 180)
        return status == 0 and only_the_day_differs(check, specification["expect"], image)


def only_the_day_differs(check, expect, image):
    """Whether `image` is as expected apart from the day of recording. `check` is the public material's module."""
    reader, config, changed, absent = check.snapshot(image, expect.get("base"))
    entries = expect["rootfs"]["entries"]
    for path in FILES:
        if path not in entries or path not in changed or "sha256" not in entries[path]:
            continue
        if has_digest_on_an_earlier_day(content(reader, path), entries[path]["sha256"]):
            changed[path] = {**changed[path], "sha256": entries[path]["sha256"]}
    return not (check.compare(expect, config, changed, absent) + check.times(expect, reader) + reader.verify())


def content(reader, path):
    """The bytes of a file in the highest layer that has it."""
    for index in reversed(range(len(reader.layers))):
        tar = tarfile.open(fileobj=io.BytesIO(reader.layer_tar(index)))
        for member in tar.getmembers():
            if member.name.lstrip("./") == path:
                return tar.extractfile(member).read()
    return b""


def has_digest_on_an_earlier_day(data, wanted):
    today = int(time.time()) // 86400
    for written in (today, today - 1):
        field = re.compile(rb":%d:" % written)
        for day in range(today, today - DAYS_BACK, -1):
            if hashlib.sha256(field.sub(b":%d:" % day, data)).hexdigest() == wanted:
                return True
    return False
