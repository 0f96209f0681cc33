//! OCI blobs that check themselves while they are read: for bytes that leave the machine.

use std::fs::File;
use std::io::{self, Read};

use farm_model::OciDigest;
use sha2::{Digest, Sha256};

use crate::error::Context;
use crate::{Error, Store};

/// An OCI blob that is hashed while it is read. If the bytes turn out to be others, the blob is moved aside and the read
/// that would have reported the end fails with [`io::ErrorKind::InvalidData`]: use nothing before the end was seen.
pub struct VerifiedOciBlob {
    store: Store,
    digest: OciDigest,
    size: u64,
    file: File,
    hasher: Sha256,
    read: u64,
}

impl Store {
    /// Opens an OCI blob, when it is here.
    pub fn open_oci_verified(&self, digest: &OciDigest) -> Result<Option<VerifiedOciBlob>, Error> {
        let Some(size) = self.has_oci_blob(digest)? else {
            return Ok(None);
        };
        let path = self.core.layout.oci(digest);
        let file = File::open(&path).while_doing("open", &path)?;
        let (store, digest, hasher) = (self.clone(), *digest, Sha256::new());
        Ok(Some(VerifiedOciBlob { store, digest, size, file, hasher, read: 0 }))
    }
}

impl VerifiedOciBlob {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for VerifiedOciBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            self.hasher.update(&buffer[..count]);
            self.read += count as u64;
            return Ok(count);
        }
        if self.read == self.size && <[u8; 32]>::from(self.hasher.clone().finalize()) == self.digest.0 {
            return Ok(0);
        }
        self.store.quarantine_oci_blob(&self.digest).map_err(io::Error::other)?;
        Err(io::Error::new(io::ErrorKind::InvalidData, Error::OciCorrupt(self.digest)))
    }
}
