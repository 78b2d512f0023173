//! Maps whose keys are hashes.

/// Keys of these maps are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prehashed(u64);

impl std::hash::BuildHasher for Prehashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl std::hash::Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
