//! Generators of random numbers, one a request.

/// Returns a generator for one request, mixed from the seed and the number (the constant is
/// splitmix64's).
pub(crate) fn generator(seed: u64, number: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
