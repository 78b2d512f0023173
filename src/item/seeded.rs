//! Property tests that draw the same cases every time.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

pub(super) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x1d7e_3000),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
