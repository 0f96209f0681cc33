//! What is kept of a step beside its key's preimage, for comparing it with a later one.

use farm_model::encoding::{Decoder, Encoder, Malformed};
use farm_model::{Base, LayerDigest, OciDigest, Op, Stage, Step};
use farm_tree::Tree;

use crate::key::Preimage;
use crate::stage::Shared;

/// The instruction, the base image of the stage where the step is the first on it, and the trees behind content digests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// The instruction as it was written, variables expanded. Values of arguments may be in it, as in the image's history.
    pub(super) instruction: String,
    /// Name and manifest of the image that the stage starts from.
    pub(super) base: Option<(String, Option<OciDigest>)>,
    /// By the name of the field.
    pub(super) trees: Vec<(String, Tree)>,
}

/// What there is to keep of a step.
pub(super) fn of(shared: &Shared, stage: &Stage, step: &Step, preimage: &Preimage) -> Witness {
    let first = stage.steps.iter().find(|other| other.op != Op::Metadata);
    let base = match &stage.base {
        Base::Image(id) if first.is_some_and(|first| first.id == step.id) => shared.base_of(*id),
        Base::Image(_) | Base::Scratch | Base::Stage(_) | Base::Context(_) => None,
    };
    Witness { instruction: step.name.clone(), base, trees: preimage.trees().to_vec() }
}

impl Witness {
    /// The written form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.str(&self.instruction);
        encoder.option(self.base.as_ref(), |encoder, (name, digest)| {
            encoder.str(name);
            encoder.option(digest.as_ref(), |encoder, digest| {
                encoder.raw(&digest.0);
            });
        });
        encoder.list(&self.trees, |encoder, (name, tree)| {
            encoder.str(name).bytes(&tree.encode());
        });
        encoder.into_bytes()
    }

    /// Reads the written form.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let instruction = decoder.str()?.to_owned();
        let base = decoder.option(|decoder| {
            let name = decoder.str()?.to_owned();
            Ok((name, decoder.option(|decoder| decoder.array().map(OciDigest))?))
        })?;
        let trees =
            decoder.list(|decoder| Ok((decoder.str()?.to_owned(), Tree::decode(decoder.bytes()?)?)))?;
        decoder.finish()?;
        Ok(Self { instruction, base, trees })
    }

    /// The layers under which the trees are kept.
    pub(crate) fn evidence(&self) -> Vec<LayerDigest> {
        self.trees.iter().map(|(_, tree)| tree.layer_digest()).collect()
    }

    pub(super) fn tree(&self, field: &str) -> Option<&Tree> {
        self.trees.iter().find(|(name, _)| name == field).map(|(_, tree)| tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_read_as_it_was_written() {
        let witness = Witness {
            instruction: "COPY . .".into(),
            base: Some(("busybox".into(), Some(OciDigest([3; 32])))),
            trees: vec![("base".into(), Tree::empty())],
        };
        let read = Witness::decode(&witness.encode()).unwrap();
        assert_eq!((read.instruction, read.base), (witness.instruction, witness.base));
        assert_eq!(read.trees, witness.trees);
        assert!(Witness::decode(b"\xff\xff\xff\xff").is_err());
    }
}
