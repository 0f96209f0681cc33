//! `RUN --mount`: a comma-separated list of keys and values.
//!
//! Keys are checked when the file is read; values may hold variables, so they are checked when those
//! are known. `from` takes no variables, because what a stage needs must be known before it runs.

mod value;

use super::{nearest, suggest};
use crate::ast::Word;
use crate::diagnostic::{Error, Span};
use value::{bytes, split_fields};

/// One `--mount` before its variables are expanded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountSpec {
    /// `from`, when it was given.
    pub from: Option<Word>,
    fields: Vec<Field>,
    span: Span,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Field {
    key: Key,
    /// The key as written, for messages.
    text: String,
    value: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Key {
    Type,
    From,
    Source,
    Target,
    ReadOnly,
    ReadWrite,
    Required,
    Size,
    Id,
    Sharing,
    Mode,
    Uid,
    Gid,
    Env,
}

const KEYS: [(&str, Key); 19] = [
    ("type", Key::Type),
    ("from", Key::From),
    ("source", Key::Source),
    ("src", Key::Source),
    ("target", Key::Target),
    ("dst", Key::Target),
    ("destination", Key::Target),
    ("readonly", Key::ReadOnly),
    ("ro", Key::ReadOnly),
    ("readwrite", Key::ReadWrite),
    ("rw", Key::ReadWrite),
    ("required", Key::Required),
    ("size", Key::Size),
    ("id", Key::Id),
    ("sharing", Key::Sharing),
    ("mode", Key::Mode),
    ("uid", Key::Uid),
    ("gid", Key::Gid),
    ("env", Key::Env),
];

/// The kinds of mount.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MountType {
    /// Files of a context, stage or image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret.
    Secret,
    /// The socket of an SSH agent.
    Ssh,
}

const TYPES: [(&str, MountType); 5] = [
    ("bind", MountType::Bind),
    ("cache", MountType::Cache),
    ("tmpfs", MountType::Tmpfs),
    ("secret", MountType::Secret),
    ("ssh", MountType::Ssh),
];

impl MountType {
    /// The word behind `type=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("bind", |(name, _)| name)
    }
}

/// One `--mount` with its values; what was not given is absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MountOptions {
    /// Which kind.
    pub kind: MountType,
    /// Path below the origin's root.
    pub source: String,
    /// Path inside.
    pub target: String,
    /// `ro` or `rw`, when one of them was given.
    pub read_only: Option<bool>,
    /// Whether the step fails without it.
    pub required: bool,
    /// Limit in bytes.
    pub size: Option<u64>,
    /// Which secret, agent or cache.
    pub id: String,
    /// `shared`, `private` or `locked`.
    pub sharing: Option<farm_model::op::Sharing>,
    /// Mode bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Environment variable that receives a secret.
    pub env: Option<String>,
}

impl MountSpec {
    pub(super) fn parse(word: &Word) -> Result<Self, Error> {
        let mut spec = Self { from: None, fields: Vec::new(), span: word.span };
        for text in split_fields(word)? {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text.as_str(), None),
            };
            let lower = name.to_lowercase();
            let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == lower) else {
                return Err(spec.unknown_key(&lower, &text, value.is_some()));
            };
            if value.is_none() && !matches!(key, Key::ReadOnly | Key::ReadWrite | Key::Required) {
                return Err(Error::new(
                    word.span,
                    format!("invalid field '{text}' must be a key=value pair"),
                )
                .with_hint(format!("write `{lower}=value`")));
            }
            if let (Key::From, Some(value)) = (key, &value) {
                spec.from = Some(from_value(value, word.span)?).filter(|from| !from.text.is_empty());
            }
            spec.fields.push(Field { key: *key, text: lower, value });
        }
        Ok(spec)
    }

    /// Where the flag stands.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The values, with variables expanded by `expand`.
    ///
    /// # Errors
    /// What `expand` says, and values that their key or the type of the mount does not take.
    pub fn evaluate(&self, expand: &dyn Fn(&str) -> Result<String, Error>) -> Result<MountOptions, Error> {
        let value_of = |field: &Field| field.value.as_deref().map(expand).transpose();
        let mut options = MountOptions::default();
        for field in self.fields.iter().filter(|field| field.key == Key::Type) {
            options.kind = self.mount_type(&value_of(field)?.unwrap_or_default())?;
        }
        for field in self.fields.iter().filter(|field| !matches!(field.key, Key::Type | Key::From)) {
            let value = value_of(field)?;
            self.check_allowed(field, options.kind)?;
            self.set(&mut options, field, value.as_deref())?;
        }
        self.check_whole(&options)?;
        Ok(options)
    }

    fn set(&self, options: &mut MountOptions, field: &Field, value: Option<&str>) -> Result<(), Error> {
        let text = value.unwrap_or_default();
        match field.key {
            Key::Type | Key::From => {}
            Key::Source => text.clone_into(&mut options.source),
            Key::Target => text.clone_into(&mut options.target),
            Key::Id => text.clone_into(&mut options.id),
            Key::Env => options.env = Some(text.to_owned()).filter(|name| !name.is_empty()),
            Key::ReadOnly => options.read_only = Some(self.truth(field, value)?),
            Key::ReadWrite => options.read_only = Some(!self.truth(field, value)?),
            Key::Required => options.required = self.truth(field, value)?,
            Key::Size => {
                options.size = Some(bytes(text).ok_or_else(|| self.bad_value(field, text, "such as `64m`"))?);
            }
            Key::Sharing => options.sharing = Some(self.sharing(text)?),
            Key::Mode => options.mode = Some(self.number(field, text, 8)?),
            Key::Uid => options.uid = Some(self.number(field, text, 10)?),
            Key::Gid => options.gid = Some(self.number(field, text, 10)?),
        }
        Ok(())
    }

    fn mount_type(&self, text: &str) -> Result<MountType, Error> {
        let lower = text.to_lowercase();
        if let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == lower) {
            return Ok(*kind);
        }
        let error = Error::new(self.span, format!("unsupported mount type \"{text}\""));
        Err(suggest(
            error,
            &lower,
            TYPES.iter().map(|(name, _)| *name),
            "one of bind, cache, tmpfs, secret and ssh",
        ))
    }

    fn sharing(&self, text: &str) -> Result<farm_model::op::Sharing, Error> {
        use farm_model::op::Sharing;
        match text.to_lowercase().as_str() {
            "shared" => Ok(Sharing::Shared),
            "private" => Ok(Sharing::Private),
            "locked" => Ok(Sharing::Locked),
            lower => {
                let error = Error::new(self.span, format!("unsupported sharing value \"{text}\""));
                Err(suggest(
                    error,
                    lower,
                    ["shared", "private", "locked"],
                    "one of shared, private and locked",
                ))
            }
        }
    }

    fn truth(&self, field: &Field, value: Option<&str>) -> Result<bool, Error> {
        match value {
            None | Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
            Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
            Some(other) => Err(self.bad_value(field, other, "`true` or `false`")),
        }
    }

    fn number(&self, field: &Field, text: &str, radix: u32) -> Result<u32, Error> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| u32::from_str_radix(text, radix).ok()).flatten();
        number.ok_or_else(|| {
            let hint = if radix == 8 { "an octal number, such as `0755`" } else { "a number" };
            Error::new(self.span, format!("invalid value {text} for {}", field.text))
                .with_hint(format!("give {hint}"))
        })
    }

    fn bad_value(&self, field: &Field, text: &str, wanted: &str) -> Error {
        let error = Error::new(self.span, format!("invalid value for {}: {text}", field.text));
        error.with_hint(format!("give a value {wanted}"))
    }

    fn unknown_key(&self, key: &str, field: &str, has_value: bool) -> Error {
        let names = || KEYS.iter().map(|(name, _)| *name);
        let message = if has_value || nearest(key, names()).is_some() {
            format!("unexpected key '{key}' in '{field}'")
        } else {
            format!("invalid field '{field}' must be a key=value pair")
        };
        let otherwise = "the keys are type, from, source, target, ro, rw, required, size, id, sharing, mode, uid, gid, env";
        suggest(Error::new(self.span, message), key, names(), otherwise)
    }

    fn check_allowed(&self, field: &Field, kind: MountType) -> Result<(), Error> {
        use MountType::{Cache, Secret, Ssh, Tmpfs};
        let name = kind.name();
        let message = match field.key {
            Key::Required if !matches!(kind, Secret | Ssh) => {
                format!("unexpected key '{}' for mount type '{name}'", field.text)
            }
            Key::Size if kind != Tmpfs => format!("unexpected key '{}' for mount type '{name}'", field.text),
            Key::Env if kind != Secret => format!("unexpected key '{}' for mount type '{name}'", field.text),
            Key::Mode | Key::Uid | Key::Gid if !matches!(kind, Secret | Ssh | Cache) => {
                format!("{} not allowed for \"{name}\" type mounts", field.text)
            }
            Key::Sharing if kind == Secret => "secret mount should not define sharing".to_owned(),
            Key::Sharing if kind != Cache => format!("invalid cache sharing set for {name} mount"),
            Key::Type
            | Key::From
            | Key::Source
            | Key::Target
            | Key::ReadOnly
            | Key::ReadWrite
            | Key::Required
            | Key::Size
            | Key::Id
            | Key::Sharing
            | Key::Mode
            | Key::Uid
            | Key::Gid
            | Key::Env => return Ok(()),
        };
        Err(Error::new(self.span, message)
            .with_hint(format!("remove `{}`, or change the type of the mount", field.text)))
    }

    fn check_whole(&self, options: &MountOptions) -> Result<(), Error> {
        let message = match options.kind {
            MountType::Secret if self.from.is_some() => "secret mount should not have a from",
            MountType::Secret
                if options.source.is_empty() && options.target.is_empty() && options.id.is_empty() =>
            {
                "invalid secret mount. one of source, target required"
            }
            MountType::Secret if !options.source.is_empty() && !options.id.is_empty() => {
                "both source and id can't be set"
            }
            MountType::Ssh if !options.source.is_empty() => "ssh mount should not have a source",
            MountType::Bind | MountType::Cache | MountType::Tmpfs | MountType::Secret | MountType::Ssh => {
                return Ok(());
            }
        };
        Err(Error::new(self.span, message).with_hint("name it with `id=name`"))
    }
}

fn from_value(value: &str, span: Span) -> Result<Word, Error> {
    if value.contains('$') {
        let message = "'from' doesn't support variable expansion, define alias stage instead";
        return Err(Error::new(span, message)
            .with_hint("add a stage, `FROM $NAME AS stage` with a global ARG, and write `from=stage`"));
    }
    Ok(Word { text: value.to_owned(), span })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<MountSpec, Error> {
        MountSpec::parse(&Word { text: text.to_owned(), span: Span::at(1, 1) })
    }

    fn evaluated(text: &str) -> Result<MountOptions, String> {
        let as_is = |text: &str| Ok(text.to_owned());
        spec(text).and_then(|spec| spec.evaluate(&as_is)).map_err(|error| error.diagnostic().message.clone())
    }

    #[test]
    fn keys_and_synonyms_set_the_same_option() {
        let options =
            evaluated("type=cache,dst=/c,src=s,rw=false,sharing=locked,mode=0700,uid=1,gid=2").unwrap();
        assert_eq!(options.kind, MountType::Cache);
        assert_eq!((options.target.as_str(), options.source.as_str()), ("/c", "s"));
        assert_eq!(options.read_only, Some(true));
        assert_eq!((options.mode, options.uid, options.gid), (Some(0o700), Some(1), Some(2)));
    }

    #[test]
    fn a_quoted_field_may_hold_commas() {
        assert_eq!(evaluated("type=secret,\"id=a,b\"").unwrap().id, "a,b");
        assert_eq!(evaluated("type=secret,\"id=a\"\"b\"").unwrap().id, "a\"b");
        assert!(evaluated("type=secret,\"id=a").unwrap_err().contains("csv"));
        assert!(evaluated("type=secret,\"id=a\"b").unwrap_err().contains("csv"));
    }

    #[test]
    fn misspelt_keys_and_types_get_a_suggestion() {
        let error = spec("typ=tmpfs").unwrap_err();
        assert_eq!(error.diagnostic().message, "unexpected key 'typ' in 'typ=tmpfs'");
        assert_eq!(error.diagnostic().hint.as_deref(), Some("did you mean `type`?"));
        assert!(evaluated("type=tmp").unwrap_err().contains("unsupported mount type \"tmp\""));
    }

    #[test]
    fn options_of_other_types_are_refused() {
        for text in [
            "type=bind,size=1",
            "type=tmpfs,mode=0700",
            "type=bind,required",
            "type=secret,id=a,sharing=shared",
            "type=tmpfs,sharing=shared",
            "type=secret",
            "type=secret,id=a,src=b",
            "type=secret,id=a,from=x",
            "type=cache,target",
            "from=$x",
            "type=cache,mode=9",
            "type=cache,uid=-1",
            "ro=perhaps",
        ] {
            assert!(evaluated(text).is_err(), "{text}");
        }
    }
}
