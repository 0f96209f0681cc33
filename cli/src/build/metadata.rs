//! `--metadata-file`: what scripts want to know of an image, under the keys that `docker buildx` uses.

use std::io::Write as _;
use std::path::Path;

use farm_model::{BuildId, OciDigest, Reference};
use farm_oci::export::AtomicFile;
use farm_proto::transfer::ExportedImage;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Writes the file; whole or not at all.
pub(super) fn write(
    path: &Path,
    build: BuildId,
    id: Option<OciDigest>,
    image: Option<&ExportedImage>,
    names: &[Reference],
) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::environment(format!("cannot write `{}`: {error}", path.display()));
    let mut text = serde_json::to_string_pretty(&document(build, id, image, names))
        .map_err(|error| failed(error.into()))?;
    text.push('\n');
    let mut file = AtomicFile::create(path)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(file.commit()?)
}

fn document(
    build: BuildId,
    id: Option<OciDigest>,
    image: Option<&ExportedImage>,
    names: &[Reference],
) -> Value {
    let mut document = Map::new();
    document.insert("farm.build".to_owned(), build.to_string().into());
    if let Some(id) = image.map(|image| image.config).or(id) {
        document.insert("containerimage.config.digest".to_owned(), id.to_string().into());
    }
    if let Some(image) = image
        && let Ok(descriptor) = serde_json::from_slice::<Value>(&image.descriptor)
    {
        if let Some(digest) = descriptor.get("digest") {
            document.insert("containerimage.digest".to_owned(), digest.clone());
        }
        document.insert("containerimage.descriptor".to_owned(), descriptor);
    }
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        document.insert("image.name".to_owned(), names.join(",").into());
    }
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_that_scripts_know() {
        let digest = OciDigest([7; 32]);
        let descriptor = format!(r#"{{"mediaType":"m","digest":"{digest}","size":3}}"#).into_bytes();
        let image = ExportedImage { config: OciDigest([1; 32]), descriptor };
        let document = document(BuildId([1; 8]), None, Some(&image), &["r.example/a:1".parse().unwrap()]);
        assert_eq!(document["containerimage.digest"], digest.to_string());
        assert_eq!(document["containerimage.descriptor"]["size"], 3);
        assert_eq!(document["containerimage.config.digest"], OciDigest([1; 32]).to_string());
        assert_eq!(document["image.name"], "r.example/a:1");
    }
}
