//! DynamoDB's limits on one item, and the cost of a write.
//!
//! The numbers are those of the developer guide ("Quotas in Amazon DynamoDB", "Constraints in
//! Amazon DynamoDB"); each boundary was tried on DynamoDB Local 3.1.0, which passes the limit
//! itself and refuses one more.

/// The largest item, in bytes as stored: 400 KB.
pub(crate) const MAX_ITEM_SIZE: usize = 409_600;

/// The longest partition key, in bytes.
pub(crate) const MAX_PARTITION_KEY: usize = 2048;

/// The longest sort key, in bytes.
pub(crate) const MAX_SORT_KEY: usize = 1024;

/// The longest attribute name, in bytes, at the top and in nested maps.
pub(crate) const MAX_NAME: usize = 65_535;

/// The deepest nesting of maps and lists, the item itself being the first level.
///
/// The guide says "up to 32 levels deep" without saying what counts. DynamoDB Local takes 31 maps
/// or lists inside one another below the item, whatever the innermost holds (a set is no level of
/// its own), and refuses 32.
pub(crate) const MAX_DEPTH: usize = 32;

/// The most significant digits of a number.
pub(crate) const MAX_DIGITS: usize = 38;

/// The largest power of ten a number's first digit may stand for.
pub(crate) const MAX_EXPONENT: i64 = 125;

/// The smallest power of ten a number's first digit may stand for.
pub(crate) const MIN_EXPONENT: i64 = -130;

/// The bytes of a list or a map beside its elements.
pub(crate) const CONTAINER_SIZE: usize = 3;

/// The bytes of each element of a list or entry of a map beside its own.
pub(crate) const ELEMENT_SIZE: usize = 1;

/// The size of a write unit in bytes.
const WRITE_UNIT: usize = 1024;

/// Returns the write units that a standard write of an item costs its table: 1 KB rounded up, at
/// least one.
///
/// A delete or an update is charged for the larger of the old and the new item, a transaction
/// twice, and every index adds its own.
pub(crate) fn write_units(stored_size: usize) -> u64 {
    u64::try_from(stored_size.div_ceil(WRITE_UNIT))
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_kilobyte_rounded_up() {
        for (size, units) in [
            (0, 1),
            (1, 1),
            (1024, 1),
            (1025, 2),
            (2048, 2),
            (2049, 3),
            (MAX_ITEM_SIZE, 400),
        ] {
            assert_eq!(write_units(size), units, "{size} bytes");
        }
    }
}
