"""What each base on top of `debian` consists of: packages, a few last touches, the image's configuration.

Debian has one version of each language, so a base answers to the tags of older ones too: `TAGS` in `bases/make` lists
them. A recipe's text is part of its cache key, so a change here makes one base anew and not the others.
`GO_VERSION` and `NGINX_SITE` are in all of them.
"""

import dataclasses
import inspect
import json
import typing

from .debian import PATH

GO_VERSION = "1.19"
GO_ENV = [f"PATH=/go/bin:/usr/local/go/bin:{PATH}", f"GOLANG_VERSION={GO_VERSION}", "GOPATH=/go",
          # There is no C compiler inside, and a module that is not vendored cannot be had everywhere.
          "GOTOOLCHAIN=local", "CGO_ENABLED=0"]
NGINX_SITE = """\
server {
    listen 80;
    location / {
        root /usr/share/nginx/html;
        index index.html;
    }
}
"""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A base made of the debian base and one layer. `configs` are the images that share this layer, by layout name."""

    packages: list[str]
    finish: typing.Callable
    configs: dict[str, dict]

    def text(self):
        """Everything that decides what comes out, for the cache key."""
        return json.dumps([self.packages, inspect.getsource(self.finish), self.configs, GO_VERSION, NGINX_SITE])


def finish_golang(root):
    # The places where people expect Go to be: /usr/local/go and an open GOPATH.
    (root / "usr/local/go").symlink_to(f"/usr/lib/go-{GO_VERSION}")
    for tool in ("go", "gofmt"):
        (root / f"usr/local/bin/{tool}").symlink_to(f"/usr/lib/go-{GO_VERSION}/bin/{tool}")
    for directory in ("go", "go/bin", "go/src"):
        (root / directory).mkdir(mode=0o777)
        (root / directory).chmod(0o777)


def finish_node(root):
    # npm brings its own list of certificates, in which those that were added to this host are missing.
    (root / "etc/npmrc").write_text("cafile=/etc/ssl/certs/ca-certificates.crt\nupdate-notifier=false\n")


def finish_python(root):
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    # In an image of its own, what pip installs can only be what the image is for.
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()


def finish_as_it_is(root):
    """For packages that leave nothing to do."""


def finish_nginx(root):
    (root / "etc/nginx/sites-enabled/default").unlink()
    (root / "etc/nginx/conf.d/default.conf").write_text(NGINX_SITE)
    (root / "usr/share/nginx/html").mkdir(parents=True, exist_ok=True)
    (root / "var/log/nginx").mkdir(parents=True, exist_ok=True)
    (root / "var/log/nginx/access.log").symlink_to("/dev/stdout")
    (root / "var/log/nginx/error.log").symlink_to("/dev/stderr")


def config(*env, command, directory=None):
    fields = {"Env": list(env) or [f"PATH={PATH}"], "Cmd": command}
    return {**fields, "WorkingDir": directory} if directory else fields


RECIPES = {
    "golang": Recipe([f"golang-{GO_VERSION}-go"], finish_golang, {
        "golang": config(*GO_ENV, command=["bash"], directory="/go"),
        # Before modules became the default, `go get` and `go build` looked below GOPATH and needed no go.mod.
        "golang-gopath": config(*GO_ENV, "GO111MODULE=off", command=["bash"], directory="/go"),
    }),
    "node": Recipe(["nodejs", "npm"], finish_node, {"node": config(f"PATH={PATH}", "NODE_VERSION=18", command=["node"])}),
    "python": Recipe(["python3", "python3-pip"], finish_python, {
        "python": config(f"PATH={PATH}", "LANG=C.UTF-8", "PYTHON_VERSION=3.11", command=["python3"])}),
    "openjdk": Recipe(["openjdk-17-jdk-headless"], finish_as_it_is, {
        "openjdk": config(f"PATH={PATH}", "JAVA_VERSION=17", command=["jshell"])}),
    # Debian keeps the runtime apart from the compiler; the slim tags have only the runtime.
    "openjdk-slim": Recipe(["openjdk-17-jre-headless"], finish_as_it_is, {
        "openjdk-slim": config(f"PATH={PATH}", "JAVA_VERSION=17", command=["java", "-version"])}),
    "nginx": Recipe(["nginx-light"], finish_nginx, {"nginx": config(command=["nginx", "-g", "daemon off;"])}),
}
