//! Records of steps, by scope. A record is returned only while its bytes can be found.

use std::sync::PoisonError;

use farm_model::encoding::{Decoder, Encoder, Malformed};
use farm_model::result::LayerRef;
use farm_model::{ContentDigest, LayerDigest, Scope, StepDigest, StepResult, Usage};

use crate::database::{Table, Write, read_value, value};
use crate::{Error, Store};

/// The layer that came first for a content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Canonical {
    /// The layer.
    pub layer: LayerRef,
    /// Nanoseconds since the Unix epoch at which its step ended.
    pub created: i64,
}

impl Store {
    /// The result of `step`, while its layer's tree and bytes are here.
    pub fn step(&self, scope: &Scope, step: &StepDigest) -> Result<Option<StepResult>, Error> {
        let Some(row) = self.core.database.get(Table::Steps, &step_key(scope, step))? else {
            return Ok(None);
        };
        let result = read_value(Table::Steps, &row, decode_result)?;
        match result.layer {
            Some(layer) if !self.is_complete(&layer.digest)? => Ok(None),
            _ => Ok(Some(result)),
        }
    }

    /// Records the result of `step` with its key's preimage. The layer must be complete.
    pub fn put_step(
        &self,
        scope: &Scope,
        step: &StepDigest,
        result: &StepResult,
        preimage: &[u8],
    ) -> Result<(), Error> {
        if let Some(layer) = result.layer
            && !self.is_complete(&layer.digest)?
        {
            return Err(Error::IncompleteLayer(layer.digest));
        }
        let key = step_key(scope, step);
        let mut row = value();
        encode_result(&mut row, result);
        let mut batch = self.core.database.batch();
        batch.put(Table::Steps, &key, row.as_bytes());
        batch.put(Table::Preimages, &key, preimage);
        batch.write(Write::Lazy)
    }

    /// The preimage of a step's key; also when the result's bytes are gone.
    pub fn preimage(&self, scope: &Scope, step: &StepDigest) -> Result<Option<Vec<u8>>, Error> {
        self.core.database.get(Table::Preimages, &step_key(scope, step))
    }

    /// The layer that came first for `content` on top of `chain`, while it is complete.
    pub fn canonical(
        &self,
        scope: &Scope,
        chain: &ContentDigest,
        content: &ContentDigest,
    ) -> Result<Option<Canonical>, Error> {
        let key = canonical_key(scope, chain, content);
        let Some(row) = self.core.database.get(Table::Canonical, &key)? else {
            return Ok(None);
        };
        let canonical = read_value(Table::Canonical, &row, |decoder| {
            Ok(Canonical { layer: decode_layer(decoder)?, created: decoder.i64()? })
        })?;
        Ok(self.is_complete(&canonical.layer.digest)?.then_some(canonical))
    }

    /// Makes `layer` the canonical one, unless another came first; returns the one that is.
    pub fn put_canonical(
        &self,
        scope: &Scope,
        chain: &ContentDigest,
        content: &ContentDigest,
        layer: Canonical,
    ) -> Result<Canonical, Error> {
        let _turn = self.core.canonical.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = self.canonical(scope, chain, content)? {
            return Ok(first);
        }
        let mut row = value();
        encode_layer(&mut row, &layer.layer);
        row.i64(layer.created);
        let key = canonical_key(scope, chain, content);
        self.core.database.put(Table::Canonical, &key, row.as_bytes())?;
        Ok(layer)
    }
}

fn step_key(scope: &Scope, step: &StepDigest) -> Vec<u8> {
    let mut key = Encoder::new();
    key.str(scope.as_str()).raw(step.as_bytes());
    key.into_bytes()
}

fn canonical_key(scope: &Scope, chain: &ContentDigest, content: &ContentDigest) -> Vec<u8> {
    let mut key = Encoder::new();
    key.str(scope.as_str()).raw(chain.as_bytes()).raw(content.as_bytes());
    key.into_bytes()
}

pub(crate) fn encode_layer(encoder: &mut Encoder, layer: &LayerRef) {
    encoder.raw(layer.digest.as_bytes()).raw(layer.content.as_bytes());
}

pub(crate) fn decode_layer(decoder: &mut Decoder<'_>) -> Result<LayerRef, Malformed> {
    Ok(LayerRef { digest: LayerDigest(decoder.array()?), content: ContentDigest(decoder.array()?) })
}

fn encode_result(encoder: &mut Encoder, result: &StepResult) {
    let StepResult { layer, created, usage } = result;
    let Usage { wall_micros, cpu_micros, peak_memory } = usage;
    encoder.option(layer.as_ref(), encode_layer);
    encoder.i64(*created).u64(*wall_micros).u64(*cpu_micros).u64(*peak_memory);
}

fn decode_result(decoder: &mut Decoder<'_>) -> Result<StepResult, Malformed> {
    Ok(StepResult {
        layer: decoder.option(decode_layer)?,
        created: decoder.i64()?,
        usage: Usage { wall_micros: decoder.u64()?, cpu_micros: decoder.u64()?, peak_memory: decoder.u64()? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_as_they_were_written() {
        for layer in [None, Some(LayerRef { digest: LayerDigest([1; 32]), content: ContentDigest([2; 32]) })]
        {
            let result = StepResult {
                layer,
                created: -5,
                usage: Usage { wall_micros: 1, cpu_micros: 2, peak_memory: 3 },
            };
            let mut row = value();
            encode_result(&mut row, &result);
            assert_eq!(read_value(Table::Steps, row.as_bytes(), decode_result).unwrap(), result);
        }
    }

    #[test]
    fn a_record_of_a_later_version_is_an_error_and_not_a_guess() {
        let read = read_value(Table::Steps, &[9, 0, 0], decode_result);
        assert!(matches!(read, Err(Error::UnknownVersion { version: 9, .. })));
    }

    #[test]
    fn scopes_never_share_a_key() {
        let one = step_key(&Scope::main(), &StepDigest([0; 32]));
        assert_eq!(one.len(), 8 + 4 + 32);
    }
}
