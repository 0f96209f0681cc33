//! The texts of the Dockerfiles. Each takes `ARG SALT`, so that another value makes its RUN steps miss the cache.

use std::fmt::Write as _;

use super::go;

/// Base images, as `bases/serve` serves them.
pub const BUSYBOX: &str = "busybox:latest";
/// For stages that add users or hash files with the usual tools.
pub const DEBIAN: &str = "debian:bookworm-slim";
/// For stages that compile.
pub const GOLANG: &str = "golang:1.19";

/// Twelve steps in three stages: a Go build, packed assets, and an image from both; `data` adds a wide COPY.
pub fn three_stages(data: bool) -> String {
    let copy_data = if data { "COPY data /srv/data\n" } else { "" };
    format!(
        "FROM {GOLANG} AS compile
ARG SALT=0
WORKDIR /work
COPY go.mod ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go vet ./...
RUN CGO_ENABLED=0 go build -trimpath -o /made/field .

FROM {BUSYBOX} AS pack
ARG SALT=0
WORKDIR /pack
COPY static/ ./
RUN for file in *.txt; do gzip -c \"$file\" > \"$file.gz\"; done

FROM {DEBIAN}
ARG SALT=0
RUN useradd --system --uid 10001 farmer && mkdir -p /srv
WORKDIR /srv
COPY --from=compile /made/field /usr/local/bin/field
COPY --from=pack /pack /srv/static
{copy_data}ENV FIELD_MODE=production
USER farmer
ENTRYPOINT [\"/usr/local/bin/field\"]
"
    )
}

/// A chain of so many RUN steps with a small file each.
pub fn chain(steps: usize) -> String {
    let mut text = format!("FROM {BUSYBOX}\nARG SALT=0\n");
    for step in 0..steps {
        let _infallible = writeln!(text, "RUN echo {step} > /link{step}");
    }
    text
}

/// So many stages that only wait, and one that copies a file from each.
pub fn fan(stages: usize) -> String {
    let mut text = String::new();
    for stage in 0..stages {
        let _infallible = writeln!(
            text,
            "FROM {BUSYBOX} AS stage{stage}\nARG SALT=0\nRUN sleep 0.2; echo {stage} > /made{stage}\n"
        );
    }
    text.push_str("FROM scratch\n");
    for stage in 0..stages {
        let _infallible = writeln!(text, "COPY --from=stage{stage} /made{stage} /made{stage}");
    }
    text
}

/// One image of a fleet: a stage that all share, and a file and a RUN of its own.
pub fn member(index: usize) -> String {
    format!(
        "FROM {DEBIAN} AS shared
ARG SALT=0
WORKDIR /shared
COPY packages.lock ./
RUN while read -r name version; do mkdir -p \"$name\"; echo \"$name $version\" > \"$name/version\"; done < packages.lock; sleep 0.5

FROM {DEBIAN}
ARG SALT=0
COPY --from=shared /shared /opt/shared
COPY own.txt /opt/own.txt
RUN sha256sum /opt/own.txt > /opt/own.sum
ENV MEMBER={index}
CMD [\"cat\", \"/opt/own.sum\"]
"
    )
}

/// A step that runs the data generator with these words.
pub fn generated(words: &str) -> String {
    format!("FROM {BUSYBOX}\nCOPY datagen /bin/datagen\nARG SALT=0\nRUN mkdir /data && datagen {words}\n")
}

/// A Go build whose library half survives a change of the program's own files.
pub fn two_machines() -> String {
    let first = go::package(0);
    format!(
        "FROM {GOLANG} AS compile
ARG SALT=0
WORKDIR /work
COPY go.mod ./
RUN go mod download
RUN CGO_ENABLED=0 go build -trimpath encoding/json net/http
COPY {first} ./{first}
RUN go vet ./{first}
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /made/field .

FROM scratch
COPY --from=compile /made/field /field
ENTRYPOINT [\"/field\"]
"
    )
}

/// One COPY of the whole wide tree.
pub fn wide_copy() -> String {
    format!("FROM {BUSYBOX}\nARG SALT=0\nCOPY data /data\n")
}

/// So many steps that each take a while and write 2 MiB, to be killed in the middle.
pub fn interrupted(steps: usize) -> String {
    let mut text = format!("FROM {BUSYBOX}\nARG SALT=0\n");
    for step in 0..steps {
        let _infallible = writeln!(
            text,
            "RUN sleep 0.2; dd if=/dev/zero of=/block{step} bs=64k count=32 2>/dev/null; echo {step} > /link{step}"
        );
    }
    text
}
