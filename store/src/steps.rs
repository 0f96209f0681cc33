//! Records of steps, by scope, and what explains why a step was not found.
//!
//! [`Store::step`] returns a record only while its bytes are here. A coordinator, whose layers may be on workers, asks for
//! the record and for the bytes apart.

use std::sync::PoisonError;

use farm_model::encoding::{Decoder, Encoder, Malformed};
use farm_model::result::LayerRef;
use farm_model::{ContentDigest, LayerDigest, Scope, StepDigest, StepResult, Usage};

use crate::database::{Table, Write, read_value, value};
use crate::work::Thing;
use crate::{Error, Store};

/// The layer that came first for a content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Canonical {
    /// The layer.
    pub layer: LayerRef,
    /// Nanoseconds since the Unix epoch at which its step ended.
    pub created: i64,
}

/// Where the bytes of a step's layer are when its record is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bytes {
    /// In this store: the layer must be complete.
    Here,
    /// At least on another machine: the layer's tree must be known.
    Elsewhere,
}

/// All that is kept of a step that succeeded; written at once.
#[derive(Clone, Copy, Debug)]
pub struct StepRecord<'a> {
    /// Who may read it.
    pub scope: &'a Scope,
    /// The step's key.
    pub step: &'a StepDigest,
    /// What it gave.
    pub result: &'a StepResult,
    /// Where the bytes of its layer are.
    pub bytes: Bytes,
    /// The preimage of its key.
    pub preimage: &'a [u8],
    /// What explains a later miss, in the caller's encoding; empty for nothing.
    pub witness: &'a [u8],
    /// Trees that the witness names. Their records are kept as long as the step is, their bytes are not.
    pub evidence: &'a [LayerDigest],
    /// What the step is called from build to build; it becomes the family's last step.
    pub family: Option<&'a [u8; 32]>,
}

impl Store {
    /// The result of `step`, while its layer's tree and bytes are here.
    pub fn step(&self, scope: &Scope, step: &StepDigest) -> Result<Option<StepResult>, Error> {
        let Some(result) = self.step_record(scope, step)? else {
            return Ok(None);
        };
        match result.layer {
            Some(layer) if !self.is_complete(&layer.digest)? => Ok(None),
            _ => Ok(Some(result)),
        }
    }

    /// The recorded result of `step`, wherever its layer's bytes are.
    pub fn step_record(&self, scope: &Scope, step: &StepDigest) -> Result<Option<StepResult>, Error> {
        let Some(row) = self.core.database.get(Table::Steps, &step_key(scope, step))? else {
            return Ok(None);
        };
        let result = read_value(Table::Steps, &row, decode_result)?;
        if let Some(layer) = &result.layer {
            self.core.touched.touch(Thing::Layer, layer.digest.as_bytes());
            self.layer_used(&layer.digest)?;
        }
        Ok(Some(result))
    }

    /// Records the result of `step` with its key's preimage. The layer must be complete.
    pub fn put_step(
        &self,
        scope: &Scope,
        step: &StepDigest,
        result: &StepResult,
        preimage: &[u8],
    ) -> Result<(), Error> {
        let bytes = Bytes::Here;
        let (witness, evidence, family): (&[u8], &[LayerDigest], _) = (&[], &[], None);
        self.record_step(&StepRecord { scope, step, result, bytes, preimage, witness, evidence, family })
    }

    /// As [`Store::put_step`], for a layer whose tree is known but whose bytes may be on another machine.
    pub fn put_step_located(
        &self,
        scope: &Scope,
        step: &StepDigest,
        result: &StepResult,
        preimage: &[u8],
    ) -> Result<(), Error> {
        let bytes = Bytes::Elsewhere;
        let (witness, evidence, family): (&[u8], &[LayerDigest], _) = (&[], &[], None);
        self.record_step(&StepRecord { scope, step, result, bytes, preimage, witness, evidence, family })
    }

    /// Writes a record, whole or not at all.
    pub fn record_step(&self, record: &StepRecord<'_>) -> Result<(), Error> {
        if let Some(LayerRef { digest, .. }) = record.result.layer {
            match record.bytes {
                Bytes::Here if !self.is_complete(&digest)? => return Err(Error::IncompleteLayer(digest)),
                Bytes::Elsewhere if self.tree(&digest)?.is_none() => return Err(Error::MissingTree(digest)),
                Bytes::Here | Bytes::Elsewhere => {}
            }
            // A layer that another machine made is never opened here, and was used all the same.
            self.layer_used(&digest)?;
        }
        let key = step_key(record.scope, record.step);
        let mut row = value();
        encode_result(&mut row, record.result);
        let mut batch = self.core.database.batch();
        batch.put(Table::Steps, &key, row.as_bytes());
        batch.put(Table::Preimages, &key, record.preimage);
        if record.witness.is_empty() && record.evidence.is_empty() {
            batch.delete(Table::Witnesses, &key);
        } else {
            batch.put(Table::Witnesses, &key, &witness_row(record.witness, record.evidence));
        }
        if let Some(family) = record.family {
            let mut row = value();
            row.raw(record.step.as_bytes());
            batch.put(Table::Families, &family_key(record.scope, family), row.as_bytes());
        }
        let _turn = self.core.steps.lock().unwrap_or_else(PoisonError::into_inner);
        batch.write(Write::Lazy)
    }

    /// The preimage of a step's key; also when the result's bytes are gone.
    pub fn preimage(&self, scope: &Scope, step: &StepDigest) -> Result<Option<Vec<u8>>, Error> {
        self.core.database.get(Table::Preimages, &step_key(scope, step))
    }

    /// What was recorded to explain a miss of a step like this one; also when the result's bytes are gone.
    pub fn witness(&self, scope: &Scope, step: &StepDigest) -> Result<Option<Vec<u8>>, Error> {
        let row = self.core.database.get(Table::Witnesses, &step_key(scope, step))?;
        row.map(|row| read_witness(&row).map(|(witness, _)| witness)).transpose()
    }

    /// Records what explains a miss, apart from a step's record; see [`StepRecord`].
    pub fn put_witness(
        &self,
        scope: &Scope,
        step: &StepDigest,
        witness: &[u8],
        evidence: &[LayerDigest],
    ) -> Result<(), Error> {
        let row = witness_row(witness, evidence);
        self.core.database.put(Table::Witnesses, &step_key(scope, step), &row)
    }

    /// The step of `family` that was recorded last; its record may be gone, its preimage is not.
    pub fn last_step(&self, scope: &Scope, family: &[u8; 32]) -> Result<Option<StepDigest>, Error> {
        let row = self.core.database.get(Table::Families, &family_key(scope, family))?;
        row.map(|row| read_value(Table::Families, &row, |d| d.array().map(StepDigest))).transpose()
    }

    /// The layer that came first for `content` on top of `chain`, while it is complete here.
    pub fn canonical(
        &self,
        scope: &Scope,
        chain: &ContentDigest,
        content: &ContentDigest,
    ) -> Result<Option<Canonical>, Error> {
        self.canonical_where(scope, chain, content, &|_| false)
    }

    /// As [`Store::canonical`], also while `is_elsewhere` says that another machine has all of the layer.
    pub fn canonical_where(
        &self,
        scope: &Scope,
        chain: &ContentDigest,
        content: &ContentDigest,
        is_elsewhere: IsElsewhere<'_>,
    ) -> Result<Option<Canonical>, Error> {
        let key = canonical_key(scope, chain, content);
        let Some(row) = self.core.database.get(Table::Canonical, &key)? else {
            return Ok(None);
        };
        let canonical = read_canonical(&row)?;
        let layer = canonical.layer.digest;
        let known = self.is_complete(&layer)? || (is_elsewhere(&layer) && self.tree(&layer)?.is_some());
        Ok(known.then_some(canonical))
    }

    /// Makes `layer` the canonical one, unless another came first and is complete here; returns the one that is.
    pub fn put_canonical(
        &self,
        scope: &Scope,
        chain: &ContentDigest,
        content: &ContentDigest,
        layer: Canonical,
    ) -> Result<Canonical, Error> {
        self.put_canonical_where(scope, chain, content, layer, &|_| false)
    }

    /// As [`Store::put_canonical`], where one that came first also counts while `is_elsewhere` says that another machine
    /// has all of it.
    pub fn put_canonical_where(
        &self,
        scope: &Scope,
        chain: &ContentDigest,
        content: &ContentDigest,
        layer: Canonical,
        is_elsewhere: IsElsewhere<'_>,
    ) -> Result<Canonical, Error> {
        let _turn = self.core.canonical.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = self.canonical_where(scope, chain, content, is_elsewhere)? {
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

/// Says whether another machine has all of a layer.
pub type IsElsewhere<'a> = &'a dyn Fn(&LayerDigest) -> bool;

pub(crate) fn read_canonical(row: &[u8]) -> Result<Canonical, Error> {
    read_value(Table::Canonical, row, |decoder| {
        Ok(Canonical { layer: decode_layer(decoder)?, created: decoder.i64()? })
    })
}

fn witness_row(witness: &[u8], evidence: &[LayerDigest]) -> Vec<u8> {
    let mut row = value();
    row.list(evidence, |row, layer| {
        row.raw(layer.as_bytes());
    });
    row.bytes(witness);
    row.into_bytes()
}

/// A witness and the trees that it names.
pub(crate) fn read_witness(row: &[u8]) -> Result<(Vec<u8>, Vec<LayerDigest>), Error> {
    read_value(Table::Witnesses, row, |decoder| {
        let evidence = decoder.list(|decoder| decoder.array().map(LayerDigest))?;
        Ok((decoder.bytes()?.to_vec(), evidence))
    })
}

fn family_key(scope: &Scope, family: &[u8; 32]) -> Vec<u8> {
    let mut key = Encoder::new();
    key.str(scope.as_str()).raw(family);
    key.into_bytes()
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

pub(crate) fn decode_result(decoder: &mut Decoder<'_>) -> Result<StepResult, Malformed> {
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
