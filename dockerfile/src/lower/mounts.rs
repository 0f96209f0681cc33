//! `RUN --mount`: the defaults of each type.

use farm_model::ContextName;
use farm_model::op::{Mount, MountKind, Origin, Sharing};

use super::paths;
use super::stage::StageBuilder;
use crate::diagnostic::Error;
use crate::instruction::{MountOptions, MountSpec, MountType};

/// The mounts of one `RUN`.
pub(super) struct Mounts {
    pub(super) list: Vec<Mount>,
    /// Where the first agent's socket is.
    pub(super) agent_socket: Option<String>,
}

impl StageBuilder<'_, '_> {
    pub(super) fn mounts(&mut self, specs: &[MountSpec]) -> Result<Mounts, Error> {
        let mut mounts = Mounts { list: Vec::with_capacity(specs.len()), agent_socket: None };
        let mut agents = 0;
        for spec in specs {
            let expansions = self.expansions();
            let options = spec.evaluate(&|text| expansions.text(text, spec.span()))?;
            let origin = self.mount_origin(spec)?;
            let mount = match options.kind {
                MountType::Bind => self.bind(spec, &options, origin)?,
                MountType::Cache => self.cache(spec, &options, origin)?,
                MountType::Tmpfs => Mount {
                    target: self.mount_target(spec, &options.target)?,
                    kind: MountKind::Tmpfs { size: options.size },
                },
                MountType::Secret => self.secret(spec, &options)?,
                MountType::Ssh => {
                    let mount = self.agent(spec, &options, agents)?;
                    agents += 1;
                    mounts.agent_socket.get_or_insert_with(|| mount.target.clone());
                    mount
                }
            };
            mounts.list.push(mount);
        }
        Ok(mounts)
    }

    fn mount_origin(&mut self, spec: &MountSpec) -> Result<Option<Origin>, Error> {
        let Some(word) = &spec.from else {
            return Ok(None);
        };
        let origin = self.shared.origin(word)?;
        if let Origin::Stage(stage) = &origin
            && usize::try_from(stage.0).unwrap_or(usize::MAX) >= self.index
        {
            let message =
                format!("cannot mount from stage \"{}\", it needs to be defined before this one", word.text);
            return Err(
                Error::new(word.span, message).with_hint("move the stage up, above the one that reads it")
            );
        }
        Ok(Some(origin))
    }

    /// An absolute, cleaned path other than the root, which cannot be mounted over.
    fn mount_target(&self, spec: &MountSpec, target: &str) -> Result<String, Error> {
        let target = paths::absolute(&self.outcome.directory, target);
        if target == "/" {
            return Err(Error::new(spec.span(), "invalid mount target \"/\"")
                .with_hint("name a directory or file with `target=/path`"));
        }
        Ok(target)
    }

    fn bind(&self, spec: &MountSpec, options: &MountOptions, origin: Option<Origin>) -> Result<Mount, Error> {
        let kind = MountKind::Bind {
            from: origin.unwrap_or_else(|| Origin::Context(ContextName::main())),
            source: paths::absolute("/", &options.source),
            writable: options.read_only == Some(false),
        };
        Ok(Mount { target: self.mount_target(spec, &options.target)?, kind })
    }

    fn cache(
        &self,
        spec: &MountSpec,
        options: &MountOptions,
        origin: Option<Origin>,
    ) -> Result<Mount, Error> {
        let id = if options.id.is_empty() { paths::clean(&options.target) } else { options.id.clone() };
        let namespace = self.shared.plan.options.build_args.get("BUILDKIT_CACHE_MOUNT_NS");
        let kind = MountKind::Cache {
            id: namespace.filter(|name| !name.is_empty()).map_or(id.clone(), |name| format!("{name}/{id}")),
            sharing: options.sharing.unwrap_or(Sharing::Shared),
            read_only: options.read_only == Some(true),
            from: origin,
            source: paths::absolute("/", &options.source),
            mode: options.mode.unwrap_or(0o755),
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
        };
        Ok(Mount { target: self.mount_target(spec, &options.target)?, kind })
    }

    /// A secret is a file under its name, unless only a variable was asked for.
    fn secret(&self, spec: &MountSpec, options: &MountOptions) -> Result<Mount, Error> {
        let given = [&options.id, &options.source].into_iter().find(|name| !name.is_empty());
        let id = given.map_or_else(|| paths::base_name(&options.target), String::as_str).to_owned();
        let file = !options.target.is_empty() || options.env.is_none();
        let target = if options.target.is_empty() {
            format!("/run/secrets/{}", paths::base_name(&id))
        } else {
            self.mount_target(spec, &options.target)?
        };
        let kind = MountKind::Secret {
            id,
            required: options.required,
            env: options.env.clone(),
            file,
            mode: options.mode.unwrap_or(0o400),
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
        };
        Ok(Mount { target, kind })
    }

    fn agent(&self, spec: &MountSpec, options: &MountOptions, number: usize) -> Result<Mount, Error> {
        let target = if options.target.is_empty() {
            format!("/run/buildkit/ssh_agent.{number}")
        } else {
            self.mount_target(spec, &options.target)?
        };
        let kind = MountKind::Ssh {
            id: if options.id.is_empty() { "default".to_owned() } else { options.id.clone() },
            required: options.required,
            mode: options.mode.unwrap_or(0o600),
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
        };
        Ok(Mount { target, kind })
    }
}
