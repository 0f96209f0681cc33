"""A server in an image, asked over loopback in a network namespace that it has for itself.

`farm run --network none` starts the image as it is, by its own command and user. Its processes are those below the daemon
that see another network than the daemon does; requests are made from within that namespace, so that no port of this machine
is taken. Nothing else may run on the daemon meanwhile.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

DEADLINE_SECONDS = 90
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
        self.daemon = daemon_of(farm)
        self.log = pathlib.Path(log)
        self.out = open(self.log, "wb")
        self.client = subprocess.Popen([*farm, "run", "--network", "none", image],
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
        parents, children = [self.daemon], {}
        for process, parent in parents_of_all():
            children.setdefault(parent, []).append(process)
        for parent in parents:
            parents += children.get(parent, [])
        ours = network_of(self.daemon)
        return [process for process in sorted(parents) if network_of(process) not in (None, ours) and not is_farm_s_own(process)]

    def ask(self, port, path):
        """The answer to a request, or a reason why there is none, as (answer, reason)."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            for process in self.processes()[:1]:
                command = ["nsenter", f"--net=/proc/{process}/ns/net", sys.executable, "-c", ASK, f"http://127.0.0.1:{port}{path}"]
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                if done.returncode == 0:
                    return done.stdout.decode(errors="replace"), None
                # A server that is not there yet refuses, and a process that is gone by now has no namespace to enter.
                if done.returncode != 75 and os.path.exists(f"/proc/{process}"):
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


def daemon_of(farm):
    """The process id of the daemon, which is started where none runs."""
    status = subprocess.run([*farm, "daemon", "start"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    return next(int(line.split()[1]) for line in status.stdout.splitlines() if line.startswith("process "))


def parents_of_all():
    """Each process with its parent."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdecimal():
                # The name in parentheses may itself have spaces and parentheses.
                yield int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass


def is_farm_s_own(process):
    """Whether it is there to prepare the container or to wait for the processes of the image."""
    try:
        return pathlib.Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"farm-")
    except OSError:
        return True


def network_of(process):
    try:
        return os.readlink(f"/proc/{process}/ns/net")
    except OSError:
        return None
