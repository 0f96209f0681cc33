"""What a case says about itself: the file `seed.toml` beside its Dockerfiles.

    description = "…"

    [[build]]            # in this order, in a copy of the case's directory
    image = "single"     # tagged seed-CASE:single; `name = "…"` instead is a tag as it stands
    file = "Dockerfile"  # unless another is named
    target = "…"         # a stage, for --target
    copy_out = "."       # in place of a tag: --output type=local into this directory

    [[run]]              # an image of above, as `farm run` starts it
    image = "single"
    arguments = []
    prints = "…"         # all of its standard output; or, of a server,
    port = 8080
    ask = { "/path" = "answer" }   # whole answers; a text between two … is only looked for
    user = 100           # whose process it is

    [size]
    single = "…"         # images whose sizes the table compares
    multi = "…"
    at_most = 0.1        # the second as a part of the first

    [[edit]]             # a line that is not as the article has it
    was = "…"
    now = "…"
    why = "…"

    [rebuild]            # after a comment that starts with // is added to this file of the copy
    change = "main.go"
    image = "multi"
    cached = ["RUN go mod download"]   # steps that must not run again
    ran = ["RUN go build"]             # steps that must
"""

import pathlib
import re
import tomllib

FIELDS = {
    "build": {"image", "name", "file", "target", "copy_out"},
    "run": {"image", "arguments", "prints", "port", "ask", "user"},
    "size": {"single", "multi", "at_most"},
    "edit": {"was", "now", "why"},
    "rebuild": {"change", "image", "cached", "ran"},
}


class Seed:
    """One case, checked for words that nothing would read."""

    def __init__(self, directory):
        self.directory, self.name = pathlib.Path(directory), pathlib.Path(directory).name
        fields = tomllib.loads((self.directory / "seed.toml").read_text())
        # For whoever reads the file; none is without it.
        del fields["description"]
        for section, value in fields.items():
            tables = value if isinstance(value, list) else [value]
            unknown = {key for table in tables for key in table} - FIELDS.get(section, set())
            if unknown:
                names = "`, `".join(sorted(unknown))
                raise SystemExit(f"error: {self.directory}/seed.toml: [{section}] has `{names}`, which means nothing")
        self.builds, self.runs = fields["build"], fields.get("run", [])
        self.edits, self.size, self.rebuild = fields.get("edit", []), fields["size"], fields.get("rebuild")

    def tag(self, image):
        return f"seed-{self.name}:{image}"

    def named(self, build):
        return build.get("name") or (self.tag(build["image"]) if "image" in build else None)


def all_seeds(directory):
    return [Seed(file.parent) for file in sorted(pathlib.Path(directory).glob("*/seed.toml"))]


def matches(expected, answer):
    """Whether an answer is the expected one; `…part…` asks only that `part` is in it."""
    part = re.fullmatch("…(.*)…", expected, re.DOTALL)
    return part[1] in answer if part else answer == expected
