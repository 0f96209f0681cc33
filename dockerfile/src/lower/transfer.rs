//! `COPY` and `ADD`: what is taken from where.

use std::sync::LazyLock;

use farm_model::op::{Copy, Origin, Source, Unpack};
use farm_model::{ContextName, OciDigest, Op};
use regex::Regex;

use super::chmod;
use super::run::check_file_name;
use super::stage::{Effect, StageBuilder};
use crate::ast::Word;
use crate::diagnostic::Error;
use crate::instruction::{Instruction, Transfer};

impl StageBuilder<'_, '_> {
    pub(super) fn transfer(
        &mut self,
        transfer: &Transfer,
        instruction: &Instruction,
    ) -> Result<Effect, Error> {
        let from = match &transfer.from {
            Some(word) => {
                let origin = self.shared.origin(word)?;
                if let Origin::Stage(stage) = &origin {
                    let source = usize::try_from(stage.0).unwrap_or(usize::MAX);
                    super::need::check_order(self.shared.plan, self.index, source, instruction, word)?;
                }
                origin
            }
            None => Origin::Context(ContextName::main()),
        };
        let expansions = self.expansions();
        let chown = expansions.optional(transfer.chown.as_ref())?;
        let chmod = expansions.optional(transfer.chmod.as_ref())?;
        if let (Some(mode), Some(word)) = (&chmod, &transfer.chmod) {
            chmod::check(mode, word.span)?;
        }
        let texts =
            transfer.sources.iter().map(|word| expansions.word(word)).collect::<Result<Vec<_>, _>>()?;
        let checksum = self.checksum(transfer, &texts)?;
        let mut sources = Vec::with_capacity(texts.len() + transfer.inline.len());
        for (text, word) in texts.iter().zip(&transfer.sources) {
            sources.push(source(text, word, transfer, checksum)?);
        }
        for inline in &transfer.inline {
            check_file_name(&Word { text: inline.name.clone(), span: inline.word.span })?;
            let content = if inline.expand {
                expansions.heredoc(&inline.content, inline.word.span)?
            } else {
                inline.content.clone()
            };
            sources.push(Source::Inline { name: inline.name.clone(), content: content.into_bytes() });
        }
        let destination = expansions.word(&transfer.destination)?;
        let exclude = transfer.exclude.iter().map(|word| expansions.word(word)).collect::<Result<_, _>>()?;
        let created_by = created_by(transfer, chown.as_deref(), chmod.as_deref(), &texts, &destination);
        let op = Copy {
            sources,
            from,
            // An empty destination is the working directory.
            destination: if destination.is_empty() { ".".to_owned() } else { destination },
            workdir: self.outcome.directory.clone(),
            chown,
            chmod,
            exclude,
            parents: transfer.parents,
            link: transfer.link,
            unpack: unpack(transfer),
            add: transfer.add,
        };
        Ok(Effect { op: Op::Copy(Box::new(op)), created_by, remark: None })
    }

    fn checksum(&self, transfer: &Transfer, sources: &[String]) -> Result<Option<OciDigest>, Error> {
        let Some(word) = &transfer.checksum else {
            return Ok(None);
        };
        let Some(text) = self.expansions().optional(Some(word))? else {
            return Ok(None);
        };
        let [source] = sources else {
            return Err(Error::new(word.span, "checksum can't be specified for multiple sources")
                .with_hint("write one ADD for each source"));
        };
        if !is_url(source) {
            return Err(Error::new(word.span, "checksum requires HTTP(S) or Git sources")
                .with_hint("remove the flag; local files are checked by the build's cache anyway"));
        }
        text.parse().map(Some).map_err(|_| {
            Error::new(word.span, format!("invalid checksum `{text}`"))
                .with_hint("write `sha256:` and 64 lower-case hexadecimal digits")
        })
    }
}

fn unpack(transfer: &Transfer) -> Unpack {
    match (transfer.add, transfer.unpack) {
        (false, _) | (true, Some(false)) => Unpack::Never,
        (true, None) => Unpack::Local,
        (true, Some(true)) => Unpack::Always,
    }
}

fn source(
    text: &str,
    word: &Word,
    transfer: &Transfer,
    checksum: Option<OciDigest>,
) -> Result<Source, Error> {
    let is_git = is_git(text) || (transfer.keep_git_dir.is_some() && is_url(text));
    if is_git && !transfer.add {
        return Err(Error::new(word.span, "source can't be a git ref for COPY").with_hint("copy local files"));
    }
    if is_git {
        let message = if transfer.keep_git_dir.is_some() {
            format!("ADD --keep-git-dir is not supported yet: `{text}`")
        } else {
            format!("ADD from a git repository is not supported yet: `{text}`")
        };
        return Err(Error::new(word.span, message).with_hint("clone the repository in a RUN step"));
    }
    if !is_url(text) {
        // An empty path is the origin's root.
        return Ok(Source::Path(if text.is_empty() { "/".to_owned() } else { text.to_owned() }));
    }
    if !transfer.add {
        return Err(
            Error::new(word.span, "source can't be a URL for COPY").with_hint("write ADD in place of COPY")
        );
    }
    Ok(Source::Url { url: text.to_owned(), checksum })
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Addresses of git repositories: by scheme, as `user@host:path`, or an HTTP address that ends in `.git`.
fn is_git(text: &str) -> bool {
    static SCP: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:.+$").expect("a valid pattern"));
    if is_url(text) {
        let end = text.find(['#', '?']).unwrap_or(text.len());
        return text[..end].strip_suffix(".git").is_some();
    }
    text.starts_with("git://") || text.starts_with("ssh://") || SCP.is_match(text)
}

fn created_by(
    transfer: &Transfer,
    chown: Option<&str>,
    chmod: Option<&str>,
    sources: &[String],
    destination: &str,
) -> String {
    let mut words = vec![transfer.name().to_owned()];
    words.extend(transfer.parents.then(|| "--parents".to_owned()));
    words.extend(chown.map(|owner| format!("--chown={owner}")));
    words.extend(chmod.map(|mode| format!("--chmod={mode}")));
    words.extend(sources.iter().cloned());
    words.extend(transfer.inline.iter().map(|inline| format!("<<{}", inline.name)));
    words.extend([destination.to_owned(), "# buildkit".to_owned()]);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_addresses_are_told_from_files_and_downloads() {
        for text in
            ["https://x.io/a.git", "http://x.io/a.git#v1:dir", "git@x.io:a/b", "ssh://x/a", "git://x/a"]
        {
            assert!(is_git(text), "{text}");
        }
        for text in
            ["https://x.io/a.tar", "a@b", "github.com/a/b", "dir/file.git", "https://x.io/a.tgz?x=.git"]
        {
            assert!(!is_git(text), "{text}");
        }
    }
}
