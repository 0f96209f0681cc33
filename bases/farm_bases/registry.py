"""A local distribution server (Debian's docker-registry) on loopback, filled by skopeo."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

START_DEADLINE_SECONDS = 20


class Registry:
    """A running server. It belongs to nobody: whoever starts it ends it, by its process id."""

    def __init__(self, pid, address):
        self.pid, self.address = pid, address

    @classmethod
    def start(cls, storage, run, port=0, read_only=False):
        """Serves `storage` on 127.0.0.1; port 0 lets the kernel choose. Log and settings go below `run`."""
        run = pathlib.Path(run)
        run.mkdir(parents=True, exist_ok=True)
        settings = run / "registry.yml"
        # JSON is YAML.
        settings.write_text(json.dumps({
            "version": "0.1", "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(storage)},
                        "maintenance": {"readonly": {"enabled": read_only}, "uploadpurging": {"enabled": False}}},
            "http": {"addr": f"127.0.0.1:{port}"},
        }))
        log = run / "registry.log"
        # Its own session and no inherited streams: it has to outlive the script, and nobody may wait for its output.
        with open(log, "wb") as out:
            process = subprocess.Popen(["docker-registry", "serve", str(settings)], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        return cls(process.pid, cls.wait_for_address(process, log))

    @staticmethod
    def wait_for_address(process, log):
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text(errors="replace"))
            if found:
                return found.group(1)
            if process.poll() is not None:
                break
            time.sleep(0.02)
        process.kill()
        raise SystemExit(f"error: docker-registry did not start listening:\n{log.read_text(errors='replace')[-1500:]}")

    def push(self, layout, layout_tag, name, tags):
        """Copies one image of a layout to `name` under all `tags`."""
        for tag in tags:
            subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--insecure-policy",
                            f"oci:{layout}:{layout_tag}", f"docker://{self.address}/{name}:{tag}"], check=True)

    def stop(self):
        stop(self.pid)

    def write_configuration(self, file):
        """A farm.toml with which builds take Docker Hub's names from here."""
        pathlib.Path(file).write_text(
            f'[registry."docker.io"]\nmirrors = ["{self.address}"]\n\n[registry."{self.address}"]\ninsecure = true\n')


def stop(pid):
    """Ends the server with this process id, unless the id is another program's by now."""
    try:
        if b"docker-registry" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        pass
