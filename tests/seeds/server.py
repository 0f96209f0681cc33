"""A server in an image, asked over loopback in a network namespace that it has for itself.

`farm run --network none` starts the image as it is, by its own command and user. The process is found by a variable of its
environment that nobody else has, and asked from within its namespace, so that no port of this machine is taken.
"""

import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time

DEADLINE_SECONDS = 90
MARK = "SEED_RUN"
ASK = """
import sys, urllib.error, urllib.request
plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    sys.stdout.buffer.write(plain.open(sys.argv[1], timeout=10).read())
except urllib.error.HTTPError as error:
    raise SystemExit(f"status {error.code}")
except OSError:
    raise SystemExit(75)
"""


class Server:
    """A running image. Use it in a `with` statement: its end is the end of every process in the image."""

    def __init__(self, farm, image, log):
        self.mark = f"{MARK}={secrets.token_hex(8)}".encode()
        self.log = pathlib.Path(log)
        self.out = open(self.log, "wb")
        self.client = subprocess.Popen([*farm, "run", "--network", "none", "--env", self.mark.decode(), image],
                                       stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        deadline = time.monotonic() + 20
        # What the first process of the image starts dies with it; the client then ends by itself.
        while (found := self.processes()) and time.monotonic() < deadline:
            for process in found:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        try:
            self.client.wait(20)
        except subprocess.TimeoutExpired:
            self.client.kill()
            self.client.wait()
        self.out.close()

    def processes(self):
        """The processes of the image, the first one first."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and self.mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return sorted(found)

    def ask(self, port, path):
        """The answer to a request, or a reason why there is none, as (answer, reason)."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        namespace = None
        while time.monotonic() < deadline:
            # A server may change its title over its environment, so the namespace is taken at the first sight of it.
            found = [f"/proc/{process}/ns/net" for process in self.processes()]
            namespace = next((path for path in found if os.path.exists(path)), namespace)
            if namespace:
                command = ["nsenter", f"--net={namespace}", sys.executable, "-c", ASK, f"http://127.0.0.1:{port}{path}"]
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                if done.returncode == 0:
                    return done.stdout.decode(errors="replace"), None
                if done.returncode != 75:
                    return None, done.stderr.decode(errors="replace").strip()
            if self.client.poll() is not None:
                return None, f"the image ended with status {self.client.returncode}:\n{self.log.read_text(errors='replace')[-1500:]}"
            time.sleep(0.1)
        return None, f"no answer within {DEADLINE_SECONDS} s:\n{self.log.read_text(errors='replace')[-1500:]}"

    def users(self):
        """The user ids of the image's processes."""
        users = set()
        for process in self.processes():
            try:
                status = pathlib.Path(f"/proc/{process}/status").read_text()
            except OSError:
                continue
            users |= {int(line.split()[1]) for line in status.splitlines() if line.startswith("Uid:")}
        return users
